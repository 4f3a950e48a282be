// The trials of a job as a table; the address keeps how it is sorted.

import * as domain from "../domain.js";
import { h } from "../dom.js";
import * as format from "../format.js";
import * as parts from "../parts.js";
import { setQuery, trialHref } from "../route.js";

export function trialsCard(view, { metrics }) {
  const { trials, route } = view;
  if (!trials.length) return null;
  const columns = measuredColumns(view, metrics);
  const sort = route.query.sort ?? "number";
  const rows = sorted(trials, sort).map((trial) => row(trial, view, columns));
  return h("section", { class: "card", key: "trials" },
    h("div", { class: "card-head" }, h("h2", null, "Trials"), h("span", { class: "small quiet" }, counted(trials)),
      h("div", { class: "actions" }, allParams(route))),
    parts.table("Trials", [
      sortHead("number", "Trial", sort, true), parts.head("State"),
      ...columns.map(({ metric, unit }) => sortHead(metric, metric, sort, true, unit)),
      parts.head("Gain", true), parts.head("Parameters"),
    ], rows, { id: "trials", class: "stack", role: "table" }));
}

/** The objectives, the limits and the quality figure: what decides. */
function measuredColumns({ job }, metrics) {
  const { objectives, limits, quality } = job.spec;
  const names = [...objectives, ...limits, ...(quality ? [quality] : [])].map((one) => one.metric);
  return [...new Set(names)].map((metric) => ({ metric, unit: metrics.get(metric)?.unit ?? "" }));
}

function counted(trials) {
  const states = new Map();
  for (const { state } of trials) states.set(state, (states.get(state) ?? 0) + 1);
  return [...states].map(([state, count]) => `${format.integer(count)} ${state}`).join(" · ");
}

function sorted(trials, sort) {
  const isDescending = sort.startsWith("-");
  const name = sort.replace(/^-/, "");
  const value = (trial) => (name === "number" ? trial.number : domain.valueOf(trial, name));
  const unknownLast = (a, b) => (a === null) - (b === null) || (isDescending ? b - a : a - b);
  return [...trials].sort((a, b) => unknownLast(value(a), value(b)) || a.number - b.number);
}

function sortHead(name, text, sort, isNumber, unit = "") {
  const direction = sort === name ? "ascending" : sort === `-${name}` ? "descending" : null;
  const next = direction === "descending" || (direction === null && name === "number") ? name : direction === null ? `-${name}` : name;
  const turned = sort === name ? `-${name}` : next;
  const arrow = { ascending: " ▲", descending: " ▼" }[direction] ?? "";
  return h("th", { key: name, scope: "col", class: `sortable ${isNumber ? "num" : ""}`, "aria-sort": direction },
    h("button", { type: "button", onclick: () => setQuery({ sort: turned === "number" ? null : turned }) }, text, arrow),
    unit ? h("div", { class: "quiet" }, unit) : null);
}

function row(trial, view, columns) {
  const { job, trials, objective } = view;
  const isBest = job.progress.best?.number === trial.number;
  const pct = domain.gainPct(domain.valueOf(trial, objective.metric), domain.valueOf(trials[0], objective.metric), objective.direction);
  const showsAll = view.route.query.params === "all";
  return h("tr", { key: trial.number, role: "row", class: isBest ? "best" : "", "data-trial": trial.number },
    h("th", { scope: "row", role: "rowheader", class: "num", "data-label": "Trial" }, h("a", { href: trialHref(job.id, trial.number), "aria-label": `Trial ${trial.number}` }, String(trial.number))),
    h("td", { role: "cell" }, parts.badge(trial.state, "plain"), remark(trial, view, isBest)),
    columns.map(({ metric }) => parts.cell(metric, { key: metric, class: "num" }, format.number(domain.valueOf(trial, metric)), plusMinus(trial, metric))),
    parts.cell("Gain", { class: "num" }, trial.number === 0 ? h("span", { class: "quiet" }, "baseline") : parts.gain(pct)),
    h("td", { role: "cell", class: "whole" }, parts.paramChips(trial.params, trial.number === 0 ? null : trials[0].params, showsAll)));
}

/** By default a row shows only what differs from the baseline. */
function allParams(route) {
  const checked = route.query.params === "all";
  return h("label", null, h("input", { type: "checkbox", checked, onchange: () => setQuery({ params: checked ? null : "all" }) }), "all parameters");
}

function plusMinus(trial, metric) {
  const interval = domain.intervalOf(trial, metric);
  const value = domain.valueOf(trial, metric);
  if (!interval || !value) return null;
  const half = (100 * (interval[1] - interval[0])) / 2 / Math.abs(value);
  return h("div", { class: "small quiet" }, `± ${half < 10 ? half.toPrecision(2) : half.toFixed(0)} %`);
}

function remark(trial, { job }, isBest) {
  if (trial.failure) return h("div", { class: "small" }, h("span", { class: "strong" }, format.words(trial.failure.kind)), ": ", trial.failure.cause);
  const broken = domain.brokenLimits(trial, job.spec);
  if (broken.length) return h("div", { class: "small bad" }, broken.join(", "));
  if (trial.measurement && !trial.measurement.is_stable) return h("div", { class: "small soft" }, "unstable");
  return isBest ? h("div", { class: "small good strong" }, "best so far") : null;
}
