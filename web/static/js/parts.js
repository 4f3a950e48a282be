// Small pieces that several views show.

import { h } from "./dom.js";
import * as format from "./format.js";

// Each state has a shape of its own, so that no colour is needed to tell them apart.
const LOOKS = {
  pending: ["◌", ""], waiting: ["◌", ""], intent: ["◌", ""], proposed: ["◌", ""], verified: ["◌", ""],
  awaiting_approval: ["◌", "warn"], armed: ["◌", ""],
  searching: ["●", "live"], confirming: ["◆", "live"], running: ["●", "live"],
  verifying: ["●", "live"], applying: ["●", "live"], rolling_back: ["●", "live"],
  paused: ["❚❚", "warn"],
  succeeded: ["✔", "good"], complete: ["✔", "good"], live: ["✔", "good"], canary: ["◆", "good"], better: ["✔", "good"],
  failed: ["✖", "bad"], frozen: ["✖", "bad"], rejected: ["⊘", "warn"], expired: ["⊘", "warn"], not_better: ["▼", "warn"], limit_broken: ["✖", "bad"],
  cancelled: ["⊘", ""], superseded: ["⊘", ""], rolled_back: ["↩", "warn"],
  within_noise: ["≈", "warn"], unproven: ["?", "warn"],
};

export function badge(state, kind = "") {
  const [glyph, look] = LOOKS[state] ?? ["○", ""];
  return h("span", { class: `badge ${look} ${kind}`, "data-state": state },
    h("span", { class: "glyph", "aria-hidden": "true" }, glyph), format.words(state));
}

export function quantity(value, unit) {
  return [format.number(value), unit ? h("span", { class: "unit" }, ` ${unit}`) : null];
}

/** A gain in words that need no colour: the sign says it. */
export function gain(pct) {
  if (pct === null || pct === undefined) return "—";
  return h("span", { class: pct > 0 ? "good" : pct < 0 ? "bad" : "" }, format.percent(pct));
}

export function tile(key, term, value, ...subs) {
  const below = subs.filter(Boolean).map((sub) => h("dd", { class: "sub" }, sub));
  return h("div", { class: "tile", key }, h("dt", null, term), h("dd", null, value), below);
}

export function meter(done, total, label) {
  const share = total > 0 ? Math.min(1, done / total) : 0;
  return h("svg", { class: `meter ${share === 1 ? "good" : ""}`, viewBox: "0 0 100 6", preserveAspectRatio: "none", role: "img", "aria-label": label },
    h("rect", { width: 100, height: 6, rx: 1 }),
    h("rect", { class: "full", width: 100 * share, height: 6, rx: 1 }));
}

/** What something used: money first where it is known, then device time. */
export function spendLines(spend) {
  const devices = [];
  if (spend.core_s > 0) devices.push(format.deviceTime(spend.core_s, "core"));
  if (spend.gpu_s > 0) devices.push(format.deviceTime(spend.gpu_s, "GPU"));
  if (spend.energy_j !== null) devices.push(`${format.number(spend.energy_j / 3.6e6)} kWh`);
  const first = spend.usd === null ? devices.shift() ?? "—" : format.usd(spend.usd);
  return [first, devices.join(" · ")];
}

/** A configuration beside the baseline (null: it is the baseline); `showsAll` or only what differs. */
export function paramChips(params, baseline, showsAll) {
  const chips = Object.entries(params).map(([name, value]) => ({ name, value, differs: baseline !== null && baseline[name] !== value }));
  const shown = chips.filter((chip) => chip.differs || showsAll || baseline === null);
  return h("span", { class: "params" },
    shown.map(({ name, value, differs }) => h("span", { key: name, class: differs ? "param differs" : "param" }, `${name}=${value}`,
      differs ? h("span", { class: "unseen" }, " (differs from the baseline)") : null)),
    shown.length ? null : h("span", { class: "quiet" }, "as the baseline"));
}

export function failureNote(failure) {
  return h("div", { class: "note bad" },
    h("p", { class: "strong" }, `${format.capital(format.words(failure.kind))}${failure.rank === null ? "" : `, rank ${failure.rank}`}`),
    h("p", null, failure.cause),
    failure.remedy ? h("p", { class: "remedy" }, failure.remedy) : null,
    failure.log_tail.length ? h("pre", { class: "code", tabindex: 0, "aria-label": "Last lines of the log" }, failure.log_tail.join("\n")) : null);
}

/** A cell of a table that becomes a block for each row on a narrow screen, its label in front. */
export function cell(label, attributes, ...children) {
  return h("td", { ...attributes, role: "cell", "data-label": label }, children);
}

export function table(label, heads, rows, attributes = {}) {
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
    h("table", attributes, h("caption", { class: "unseen" }, label),
      h("thead", null, h("tr", null, heads)), h("tbody", null, rows)));
}

export function head(text, isNumber = false) {
  return h("th", { scope: "col", class: isNumber ? "num" : "" }, text);
}

export function empty(title, ...lines) {
  return h("div", { class: "empty" }, h("h2", null, title), lines);
}

export function loading() {
  return h("div", { class: "card", role: "status", "aria-label": "Loading" },
    h("div", { class: "skeleton short" }), h("div", { class: "skeleton" }), h("div", { class: "skeleton tall" }));
}

export function failed(error) {
  return h("div", { class: "card", role: "alert" }, empty(error.title ?? "This could not be loaded",
    h("p", null, error.message), h("p", null, h("a", { href: "#/jobs" }, "To the list of jobs"))));
}
