// Reads the address, asks the service every 1.5 s, and brings the page to what it says.

import { ConnectionLost, getJson } from "./api.js";
import { h, patch } from "./dom.js";
import * as format from "./format.js";
import * as parts from "./parts.js";
import { currentRoute } from "./route.js";
import * as job from "./views/job.js";
import * as jobs from "./views/jobs.js";
import * as trial from "./views/trial.js";

const POLL_MS = 1500;
const HIDDEN_POLL_MS = 10_000;
const VIEWS = { jobs, job, trial };

const main = document.getElementById("main");
const state = { route: currentRoute(), data: null, error: null, system: null, metrics: null, lostAt: null, width: 0, hover: null };
let timer = null;
let round = 0;

/** What a view may use besides its data. */
const context = {
  get metrics() { return state.metrics ?? new Map(); },
  get width() { return state.width; },
  get hover() { return state.hover; },
  setHover(value) { state.hover = value; draw(); },
  refresh,
};

async function refresh() {
  clearTimeout(timer);
  const mine = ++round;
  const view = VIEWS[state.route.name];
  try {
    state.metrics ??= new Map((await getJson("schemas/metrics")).map((row) => [row.name, row]));
    const [data, system] = await Promise.all([view.load(state.route), getJson("system")]);
    if (mine !== round) return;
    Object.assign(state, { data, system, error: null, lostAt: null });
  } catch (error) {
    if (mine !== round) return;
    if (error instanceof ConnectionLost) state.lostAt ??= new Date();
    else Object.assign(state, { error, lostAt: null });
  }
  draw();
  timer = setTimeout(refresh, document.hidden ? HIDDEN_POLL_MS : POLL_MS);
}

function draw() {
  state.width = contentWidth();
  const view = VIEWS[state.route.name];
  patch(main, body(view));
  document.title = state.data ? `${view.title(state.data)} · Trimtab` : "Trimtab";
  say(state.data && !state.error ? view.status(state.data) : "");
  patch(document.getElementById("banner"), banner());
  patch(document.getElementById("service"), service());
}

function body(view) {
  // The key makes another page a new tree, while the same page is only brought up to date.
  const key = state.route.path;
  if (state.error && (!state.data || state.error.status === 404)) return h("div", { key }, parts.failed(state.error));
  if (!state.data) return h("div", { key }, parts.loading());
  return h("div", { key }, view.render(state.data, state.route, context));
}

function banner() {
  let text = null;
  if (state.lostAt) {
    const since = format.moment(state.lostAt.toISOString());
    text = `Connection lost at ${since}. What you see is what was known then; trying again…`;
  } else if (state.error && state.data) text = `The service has a problem: ${state.error.message}`;
  else if (state.system && !state.system.controller) text = "No controller is alive: nothing runs or changes until there is one.";
  return text ? [h("p", { class: "wide" }, text)] : [];
}

function service() {
  if (!state.system) return [];
  const { controller, version } = state.system;
  return [h("span", { title: controller?.holder }, controller ? "controller alive" : "no controller"), h("span", { class: "long" }, ` · v${version}`)];
}

/** Tells a screen reader what changed, and nothing when nothing did. */
function say(text) {
  const status = document.getElementById("status");
  if (status.textContent !== text) status.textContent = text;
}

function contentWidth() {
  const style = getComputedStyle(main);
  return main.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
}

function onRoute() {
  const before = state.route;
  state.route = currentRoute();
  if (before.path !== state.route.path) {
    Object.assign(state, { data: null, error: null, hover: null });
    window.scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
  draw();
  refresh();
}

addEventListener("hashchange", onRoute);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
document.querySelector(".skip").onclick = (event) => { event.preventDefault(); main.focus(); };
new ResizeObserver(() => { if (contentWidth() !== state.width) draw(); }).observe(main);
draw();
refresh();
