// Describes a tree with `h`, and brings the page to it with `patch`: nodes that stay keep their focus,
// selection and scroll position. Data only ever becomes text nodes and attributes.

const SVG = "http://www.w3.org/2000/svg";

/** A node to be. Attributes: `key` names it among its siblings, `on...` are listeners, `style` goes
 *  through the object model, `own` is a function that looks after the node's children by itself. */
export function h(tag, attributes, ...children) {
  const kept = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  return { tag, attributes: attributes ?? {}, children: kept };
}

/** Brings the children of `parent` to `children`, in place. */
export function patch(parent, children) {
  const focused = document.activeElement;
  patchChildren(parent, [children].flat(Infinity).filter(Boolean));
  if (focused !== document.activeElement && focused?.isConnected && parent.contains(focused)) {
    focused.focus({ preventScroll: true });
  }
}

function patchChildren(parent, children) {
  const old = [...parent.childNodes];
  const keyed = new Map(old.filter((node) => node.vkey !== undefined).map((node) => [node.vkey, node]));
  const unkeyed = old.filter((node) => node.vkey === undefined);
  const used = new Set();
  children.forEach((child, index) => {
    const node = matching(child, keyed, unkeyed, used) ?? create(child, parent);
    used.add(node);
    const present = parent.childNodes[index];
    if (present !== node) parent.insertBefore(node, present ?? null);
    update(node, child);
  });
  for (const node of old) if (!used.has(node)) node.remove();
}

function matching(child, keyed, unkeyed, used) {
  const name = nameOf(child);
  const key = child.attributes?.key;
  if (key !== undefined) {
    const node = keyed.get(String(key));
    return node && node.nodeName.toLowerCase() === name && !used.has(node) ? node : null;
  }
  return unkeyed.find((node) => !used.has(node) && node.nodeName.toLowerCase() === name) ?? null;
}

function nameOf(child) {
  return child.tag ? child.tag.toLowerCase() : "#text";
}

function create(child, parent) {
  if (!child.tag) return document.createTextNode("");
  const isSvg = child.tag === "svg" || parent.namespaceURI === SVG;
  const node = isSvg ? document.createElementNS(SVG, child.tag) : document.createElement(child.tag);
  if (child.attributes.key !== undefined) node.vkey = String(child.attributes.key);
  return node;
}

function update(node, child) {
  if (!child.tag) {
    const text = String(child);
    if (node.data !== text) node.data = text;
    return;
  }
  updateAttributes(node, child.attributes);
  if (child.attributes.own) child.attributes.own(node);
  else patchChildren(node, child.children);
}

function updateAttributes(node, attributes) {
  const before = node.vattributes ?? {};
  for (const name of Object.keys(before)) if (!(name in attributes)) unset(node, name);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "key" || name === "own") continue;
    // The value of a control is compared with what the person made of it, not with what was set.
    if (name === "value" ? node.value !== String(value) : before[name] !== value || name === "style") {
      set(node, name, value);
    }
  }
  node.vattributes = attributes;
}

function set(node, name, value) {
  if (name.startsWith("on")) node[name] = value;
  else if (name === "style") Object.assign(node.style, value);
  else if (name === "value") queueMicrotask(() => { node.value = value; });
  else if (value === false || value === null || value === undefined) unset(node, name);
  else node.setAttribute(name, value === true ? "" : String(value));
}

function unset(node, name) {
  if (name.startsWith("on")) node[name] = null;
  else if (name === "style") node.removeAttribute("style");
  else node.removeAttribute(name);
}
