// One trial: what it was, what it showed or why it failed, every attempt, its log.

import { at, getJson, getText } from "../api.js";
import { seriesChart } from "../charts/series.js";
import * as domain from "../domain.js";
import { h } from "../dom.js";
import * as format from "../format.js";
import { follow } from "../log.js";
import * as parts from "../parts.js";
import { jobHref, setQuery } from "../route.js";

const LINES = 300;
const CARD_PADDING = 42;

export async function load({ job, number, query }) {
  const path = at("jobs", job, "trials", number);
  const [found, trial, series, baseline] = await Promise.all([
    getJson(at("jobs", job)),
    getJson(path),
    getJson(`${path}/metrics`),
    getJson(at("jobs", job, "trials", 0)),
  ]);
  const log = trial.attempts.length
    ? await getText(`${path}/logs`, { rank: query.rank ?? 0, attempt: query.attempt, tail: LINES })
    : "";
  return { job: found, trial, series, baseline, log };
}

export function title({ job, trial }) {
  return `Trial ${trial.number} of ${job.spec.name}`;
}

export function status({ trial }) {
  return `Trial ${trial.number} is ${trial.state}`;
}

export function render(data, route, context) {
  const { job, trial } = data;
  return [
    h("nav", { class: "crumbs", "aria-label": "Where you are" }, h("a", { href: "#/jobs" }, "Jobs"), h("a", { href: jobHref(job.id) }, job.spec.name), h("span", null, `Trial ${trial.number}`)),
    heading(data),
    trial.failure ? parts.failureNote(trial.failure) : null,
    h("section", { class: "card", key: "facts" }, h("div", { class: "columns" }, params(data), measured(data, context.metrics))),
    chartCard(data, route, context),
    attemptsCard(data),
    logCard(data, route),
  ];
}

function heading({ job, trial }) {
  const isBest = job.progress.best?.number === trial.number;
  return h("div", { key: "heading" },
    h("div", { class: "head" }, h("h1", null, trial.number === 0 ? "Trial 0, the baseline" : `Trial ${trial.number}`), parts.badge(trial.state),
      isBest ? h("span", { class: "small good strong" }, "best so far") : null),
    h("div", { class: "meta" }, h("span", null, `suggested: ${trial.reason}`), h("span", null, format.moment(trial.created_at)),
      trial.ended_at ? h("span", null, `took ${format.duration(format.secondsBetween(trial.created_at, trial.ended_at))}`) : null));
}

function params({ trial, baseline }) {
  const rows = domain.compareParams(baseline.params, trial.params);
  const isBaseline = trial.number === 0;
  return h("div", { key: "params" }, h("h3", null, isBaseline ? "Parameters" : "Parameters against the baseline"),
    parts.table("Parameters", [parts.head("Parameter"), parts.head(`Trial ${trial.number}`), isBaseline ? null : parts.head("Baseline")].filter(Boolean),
      rows.map((row) => h("tr", { key: row.name }, h("th", { scope: "row", class: "mono" }, row.name),
        h("td", null, h("span", { class: row.differs ? "param differs" : "param" }, String(row.after ?? "not set"))),
        isBaseline ? null : h("td", { class: "mono quiet" }, row.differs ? String(row.before ?? "not set") : "same")))));
}

function measured({ job, trial, baseline }, metrics) {
  if (!trial.measurement) return h("div", { key: "measured" }, h("h3", null, "Measured"), h("p", { class: "quiet" }, trial.failure ? "Nothing: the trial failed." : "Nothing yet."));
  const { window_s: window, warmup_s: warmup, steps, stopped, is_stable: isStable, notes } = trial.measurement;
  const rows = Object.keys(trial.measurement.metrics).map((name) => metricRow(name, trial, baseline, domain.directionOf(name, job.spec, metrics), metrics.get(name)));
  return h("div", { key: "measured" }, h("h3", null, "Measured"),
    parts.table("Measured", [parts.head("Metric"), parts.head("Value", true), parts.head("Against the baseline", true)], rows),
    h("p", { class: "small soft" }, `${format.integer(steps)} steps in a steady window of ${format.duration(window)}, after ${format.duration(warmup)} of warm-up; ended: ${stopped}.`),
    isStable ? null : h("div", { class: "note warn" }, h("p", null, "The rate was not stable.")),
    notes.map((note) => h("p", { class: "small soft" }, note)));
}

function metricRow(name, trial, baseline, direction, known) {
  const [value, before] = [domain.valueOf(trial, name), domain.valueOf(baseline, name)];
  const interval = domain.intervalOf(trial, name);
  const pct = trial.number === 0 || direction === null ? null : domain.gainPct(value, before, direction);
  return h("tr", { key: name }, h("th", { scope: "row", title: known?.meaning }, name),
    h("td", { class: "num" }, parts.quantity(value, known?.unit), interval ? h("div", { class: "small quiet" }, `${format.number(interval[0])} to ${format.number(interval[1])}`) : null),
    h("td", { class: "num" }, comparison(pct)));
}

function comparison(pct) {
  if (pct === null) return "—";
  if (Math.abs(pct) < 0.1) return "the same";
  const size = format.number(Math.abs(Number(pct.toPrecision(3))));
  return h("span", { class: pct > 0 ? "good" : "bad" }, `${size} % ${pct > 0 ? "better" : "worse"}`);
}

function chartCard({ job, series }, route, context) {
  const names = [...new Set(series.map((one) => one.name))];
  const wanted = [route.query.name, job.spec.objectives[0].metric, "samples_per_s", names[0]].find((name) => names.includes(name));
  const width = Math.max(260, context.width - (context.width < 600 ? 30 : CARD_PADDING));
  const shown = series.filter((one) => one.name === wanted && one.points.length > 1);
  return h("section", { class: "card", key: "chart" },
    h("div", { class: "card-head" }, h("h2", null, "Over time"), h("div", { class: "actions" }, names.length > 1 ? choice("Metric", wanted, names, "name") : null)),
    shown.length ? seriesChart({ series: shown, width }) : parts.empty("No figures over time", h("p", null, "They are drawn when an attempt has ended.")));
}

function choice(label, value, options, parameter) {
  return h("label", null, label, h("select", { value, onchange: (event) => setQuery({ [parameter]: event.target.value }) },
    options.map((option) => h("option", { key: option, value: option }, String(option)))));
}

function attemptsCard({ job, trial }) {
  const { metric } = job.spec.objectives[0];
  if (!trial.attempts.length) return null;
  const heads = [parts.head("Attempt", true), parts.head("Purpose"), parts.head("State"), parts.head(metric, true), parts.head("Window", true), parts.head("Cores and GPUs"), parts.head("Spent", true), parts.head("Began")];
  return h("section", { class: "card", key: "attempts" }, h("div", { class: "card-head" }, h("h2", null, "Attempts"), h("span", { class: "small quiet" }, "each is one launch")),
    parts.table("Attempts", heads, trial.attempts.map((attempt) => attemptRow(attempt, metric))));
}

function attemptRow(attempt, metric) {
  return h("tr", { key: attempt.number }, h("td", { class: "num" }, String(attempt.number)),
    h("td", null, attempt.pair === null ? attempt.purpose : `${attempt.purpose}, pair ${attempt.pair}`),
    h("td", null, parts.badge(attempt.state, "plain"), attempt.failure ? h("div", { class: "small" }, attempt.failure.cause) : null),
    h("td", { class: "num" }, format.number(domain.valueOf(attempt, metric))),
    h("td", { class: "num" }, format.duration(attempt.measurement?.window_s)),
    h("td", { class: "mono" }, placement(attempt.placement)),
    h("td", { class: "num" }, parts.spendLines(attempt.spend)[0]),
    h("td", { class: "nowrap" }, format.moment(attempt.created_at)));
}

function placement({ cores, gpus }) {
  const nodes = cores.map((node, index) => `${node.join(",")}${gpus[index]?.length ? ` gpu ${gpus[index].join(",")}` : ""}`);
  return nodes.map((node) => `[${node}]`).join(" ");
}

function logCard({ job, trial, log }, route) {
  if (!trial.attempts.length) return null;
  const last = trial.attempts.at(-1);
  const attempts = trial.attempts.map((attempt) => String(attempt.number));
  return h("section", { class: "card", key: "log" },
    h("div", { class: "card-head" }, h("h2", null, "Log"), h("span", { class: "small quiet" }, `the last ${LINES} lines, refreshed`),
      h("div", { class: "actions" }, choice("Attempt", route.query.attempt ?? String(last.number), attempts, "attempt"), choice("Rank", route.query.rank ?? "0", ranks(job.spec, trial), "rank"))),
    h("pre", { id: "log", class: "code log", tabindex: 0, "aria-label": "Log", own: follow(log || "Nothing printed yet.") }));
}

function ranks(spec, trial) {
  return Array.from({ length: domain.processes(spec, trial.params) }, (_, rank) => String(rank));
}
