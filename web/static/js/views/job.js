// One job: how it stands, every trial, the plan, what happened.

import { isBusy, jobAction } from "../actions.js";
import { at, getAll, getJson } from "../api.js";
import { historyChart } from "../charts/history.js";
import * as domain from "../domain.js";
import { h } from "../dom.js";
import * as format from "../format.js";
import * as parts from "../parts.js";
import { setQuery } from "../route.js";
import { explainCard, loadExplanation } from "./explain.js";
import { planCard } from "./plan.js";
import { trialsCard } from "./trials.js";

const EVENTS = 30;
const CARD_PADDING = 42;

export async function load({ job }) {
  const [found, trials, plans, applications, events] = await Promise.all([
    getJson(at("jobs", job)),
    getAll(`${at("jobs", job)}/trials`),
    getAll("plans", { job }),
    getAll("applications", { job }),
    getJson(`${at("jobs", job)}/events`, { page_size: EVENTS }),
  ]);
  return { job: found, trials, plans, applications, events: events.items, explanation: await loadExplanation(found) };
}

export function title({ job }) {
  return job.spec.name;
}

export function status({ job }) {
  const { trials_done: done, trials_total: total } = job.progress;
  return `Job ${job.spec.name} is ${job.state}; ${done} of ${total} trials done`;
}

export function render(data, route, context) {
  const { job } = data;
  const objective = domain.chosenObjective(job.spec, route.query.metric);
  const view = { ...data, objective, route, unit: context.metrics.get(objective.metric)?.unit ?? "" };
  return [
    h("nav", { class: "crumbs", "aria-label": "Where you are" }, h("a", { href: "#/jobs" }, "Jobs"), h("span", null, job.spec.name)),
    heading(job, context),
    tiles(view),
    planCard(view, context),
    chartCard(view, context),
    trialsCard(view, context),
    explainCard(view),
    eventsCard(data.events),
    specCard(job.spec),
  ];
}

function heading(job, { refresh }) {
  const began = job.started_at ? `started ${format.moment(job.started_at)}` : `created ${format.moment(job.created_at)}`;
  const method = `${job.spec.search.method} search, seed ${job.spec.search.seed}`;
  return h("div", { key: "heading" },
    h("div", { class: "head" }, h("h1", null, job.spec.name), parts.badge(job.state), wishBadge(job),
      h("div", { class: "actions" }, buttons(job, refresh))),
    job.message ? h("p", { class: "lead" }, job.message) : null,
    h("div", { class: "meta" }, h("span", { class: "mono" }, job.id), h("span", null, began), h("span", null, method),
      job.ended_at ? h("span", null, `ended ${format.moment(job.ended_at)}`) : null));
}

/** A wish that is not fact yet. */
function wishBadge(job) {
  if (domain.isFinished(job.state)) return null;
  if (job.wish === "cancel") return h("span", { class: "small soft" }, "cancelling…");
  if (job.wish === "pause" && job.state !== "paused") return h("span", { class: "small soft" }, "pausing after the running trials…");
  return job.wish === "run" && job.state === "paused" ? h("span", { class: "small soft" }, "resuming…") : null;
}

function buttons(job, refresh) {
  if (domain.isFinished(job.state)) return [];
  const verbs = [job.wish === "pause" ? "resume" : "pause", "cancel"];
  return verbs.map((verb) => {
    const { path, run } = jobAction(job, verb, refresh);
    const disabled = isBusy(path) || job.wish === "cancel";
    return h("button", { key: verb, type: "button", class: verb === "cancel" ? "danger" : "", disabled, onclick: run }, format.capital(verb));
  });
}

function tiles({ job, plans, objective, unit }) {
  const { progress } = job;
  const { metric, direction } = objective;
  const [baseline, best] = [progress.baseline, progress.best].map((trial) => domain.valueOf(trial, metric));
  const gain = job.spec.objectives.length === 1 ? progress.best_gain_pct : domain.gainPct(best, baseline, direction);
  const [spent, devices] = parts.spendLines(progress.spend);
  const { trials_done: done, trials_total: total, pairs_done: pairs } = progress;
  const budget = job.spec.budget.usd;
  const elapsed = format.secondsBetween(job.started_at, job.ended_at);
  return h("dl", { class: "tiles", key: "tiles" },
    parts.tile("best", "Best so far", parts.quantity(best, unit), progress.best ? `trial ${progress.best.number}` : null),
    parts.tile("baseline", "Baseline", parts.quantity(baseline, unit), "the default configuration"),
    gainTile(plans[0], gain),
    parts.tile("trials", "Trials", [format.integer(done), h("span", { class: "unit" }, ` of ${format.integer(total)}`)],
      parts.meter(done, total, `${done} of ${total} trials`), pairs ? `${pairs} of ${progress.pairs_total} confirming pairs` : null),
    parts.tile("spend", "Spent", withUnit(spent), budget ? `of ${format.usd(budget)}${devices ? ` · ${devices}` : ""}` : devices),
    domain.isFinished(job.state)
      ? parts.tile("time", "Time taken", format.duration(elapsed))
      : parts.tile("time", "Time left", format.duration(progress.eta_s), elapsed === null ? null : `${format.duration(elapsed)} so far`));
}

function withUnit(text) {
  const [amount, unit] = text.split(" ");
  return [amount, unit ? h("span", { class: "unit" }, ` ${unit}`) : null];
}

/** What is confirmed counts more than what one trial showed. */
function gainTile(plan, screenedPct) {
  if (!plan || plan.gain_pct === null) return parts.tile("gain", "Gain", parts.gain(screenedPct), screenedPct === null ? null : "screened; not confirmed yet");
  return parts.tile("gain", "Gain, confirmed", parts.gain(plan.gain_pct), `at least ${format.percent(plan.gain_low_pct)}`);
}

function chartCard({ job, trials, objective, unit }, context) {
  const width = Math.max(260, context.width - (context.width < 600 ? 30 : CARD_PADDING));
  const body = trials.length
    ? historyChart({ job, trials, objective, unit, width, hover: context.hover, setHover: context.setHover })
    : parts.empty("No trial yet", h("p", null, "The baseline comes first, as soon as the controller takes the job."));
  return h("section", { class: "card", key: "chart" },
    h("div", { class: "card-head" }, h("h2", null, "Search"), h("div", { class: "actions" }, objectiveChoice(job, objective))), body);
}

function objectiveChoice(job, objective) {
  if (job.spec.objectives.length < 2) return null;
  return h("label", null, "Objective", h("select", { value: objective.metric, onchange: (event) => setQuery({ metric: event.target.value }) },
    job.spec.objectives.map((one) => h("option", { key: one.metric, value: one.metric }, one.metric))));
}

function eventsCard(events) {
  return h("section", { class: "card", key: "events" }, h("details", null, h("summary", null, "What happened"),
    events.length ? parts.table("Events, the latest first", ["When", "Who", "What", "Of what", "Detail"].map((text) => parts.head(text)),
      events.map((event) => h("tr", null, h("td", { class: "nowrap" }, format.moment(event.at)), h("td", null, event.actor),
        h("td", { class: "mono" }, event.action), h("td", null, event.subject), h("td", null, event.detail))))
      : h("p", { class: "quiet" }, "Nothing yet.")));
}

function specCard(spec) {
  return h("section", { class: "card", key: "spec" }, h("details", null, h("summary", null, "Job specification"),
    h("pre", { class: "code", tabindex: 0 }, JSON.stringify(spec, null, 2))));
}
