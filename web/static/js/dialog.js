// Questions before something is done, and notices after it.

import { h, patch } from "./dom.js";

/** Asks; resolves to whether the person agreed. Escape and Cancel are no. */
export function confirmed({ title, lines, action, isDanger = false }) {
  return new Promise((resolve) => {
    const dialog = document.createElement("dialog");
    dialog.setAttribute("aria-label", title);
    const done = (answer) => () => dialog.close(answer);
    dialog.onclose = () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    };
    patch(dialog, [
      h("h2", null, title),
      lines.filter(Boolean).map((line) => h("p", null, line)),
      h("div", { class: "actions" },
        h("button", { type: "button", onclick: done("no"), autofocus: true }, "Not now"),
        h("button", { type: "button", class: isDanger ? "danger" : "main", onclick: done("yes") }, action)),
    ]);
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** A notice at the corner; a failure stays until it is closed. */
export function notify(text, isFailure = false) {
  const toast = document.createElement("div");
  toast.className = isFailure ? "toast failed" : "toast";
  const close = () => toast.remove();
  patch(toast, [
    h("p", null, text),
    h("button", { type: "button", class: "bare", "aria-label": "Close", onclick: close }, "✕"),
  ]);
  document.getElementById("toasts").append(toast);
  if (!isFailure) setTimeout(close, 6000);
}
