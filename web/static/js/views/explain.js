// What the trials of a job say together: which parameters matter, what happens around the best, what would do as well.

import { Problem, at, getJson } from "../api.js";
import { h } from "../dom.js";
import * as format from "../format.js";
import * as parts from "../parts.js";
import { trialHref } from "../route.js";

let kept = { key: null, explanation: null };

/** Asked for anew only when a trial has ended: nothing else changes it. */
export async function loadExplanation({ id, progress }) {
  const key = `${id} ${progress.trials_done}`;
  if (kept.key === key) return kept.explanation;
  try {
    kept = { key, explanation: await getJson(`${at("jobs", id)}/explain`) };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return null; // the page is worth showing without it
  }
  return kept.explanation;
}

export function explainCard({ job, explanation }) {
  if (!explanation?.importance.length) return null;
  return h("section", { class: "card", key: "explain" },
    h("div", { class: "card-head" }, h("h2", null, "What matters"),
      h("span", { class: "small quiet" }, `learned from ${format.integer(explanation.learned_from)} measured trials`)),
    h("div", { class: "columns" },
      h("div", { key: "importance" }, importance(explanation)),
      h("div", { key: "alternatives" }, alternatives(explanation, job))),
    explanation.front.length ? compromises(explanation, job) : null,
    explanation.advice.map((said) => h("p", { key: said }, said)),
    explanation.sensitivity.length ? sensitivity(explanation) : null);
}

function importance({ importance: found, together_pct: together, method }) {
  const rows = found.map(({ name, share_pct: share }) => h("tr", { key: name }, h("th", { scope: "row" }, name),
    h("td", null, share === null ? h("span", { class: "quiet" }, "not varied") : parts.meter(share, 100, `${Math.round(share)} %`)),
    h("td", { class: "num" }, share === null ? null : `${Math.round(share)} %`)));
  return [
    h("h3", null, "How much each parameter explains"),
    parts.table("Importance of parameters", [parts.head("Parameter"), parts.head("Share of the differences"), parts.head("", true)], rows),
    h("p", { class: "small quiet", title: method }, together === null ? "Nothing differs so far."
      : `Each by itself; ${Math.round(together)} % is explained only by several together.`),
  ];
}

function alternatives({ alternatives: found, best }, job) {
  const rows = found.map((one) => h("tr", null,
    h("td", null, one.trial_number === null ? "predicted" : h("a", { href: trialHref(job.id, one.trial_number) }, `trial ${one.trial_number}`),
      h("div", null, parts.paramChips(one.params, job.progress.baseline?.params ?? null))),
    h("td", { class: "num" }, parts.gain(one.gain_pct)),
    h("td", null, Object.entries(one.savings_pct).map(([name, pct]) => h("div", { class: "nowrap" }, `${format.words(name)} ${format.percent(-pct)}`)))));
  return [
    h("h3", null, "Nearly as good for less"),
    rows.length ? parts.table("Cheaper alternatives", [parts.head("Configuration"), parts.head("Gain", true), parts.head("Takes")], rows)
      : h("p", { class: "quiet" }, best === null ? "No trial may win yet." : `Nothing within 2 % of trial ${best} takes less.`),
  ];
}

function compromises({ front }, job) {
  const metrics = Object.keys(front[0].gains_pct);
  const heads = [parts.head("Trial"), ...metrics.map((name) => parts.head(format.words(name), true)), parts.head("Configuration")];
  const rows = front.map((one) => h("tr", { key: String(one.trial_number) },
    h("td", null, h("a", { href: trialHref(job.id, one.trial_number) }, `trial ${one.trial_number}`)),
    ...metrics.map((name) => h("td", { class: "num" }, parts.gain(one.gains_pct[name]))),
    h("td", null, parts.paramChips(one.params, job.progress.baseline?.params ?? null))));
  return [h("h3", null, "Compromises that nothing beats"), parts.table("Pareto front", heads, rows)];
}

function sensitivity({ sensitivity: found, best }) {
  const heads = [parts.head("Parameter"), parts.head("Moved to"), parts.head("Predicted", true), parts.head("95 % interval", true), parts.head("Measured", true)];
  const rows = found.map((one) => h("tr", { key: `${one.name}=${one.value}` }, h("th", { scope: "row" }, one.name),
    h("td", { class: "mono" }, String(one.value)), h("td", { class: "num" }, parts.gain(one.gain_pct)),
    h("td", { class: "num" }, `${format.percent(one.low_pct)} to ${format.percent(one.high_pct)}`),
    h("td", { class: "num" }, one.failure ? format.words(one.failure) : one.measured_pct === null ? "" : parts.gain(one.measured_pct))));
  return h("details", null, h("summary", null, `Trial ${best} with one parameter moved`), parts.table("The best with one parameter moved", heads, rows));
}
