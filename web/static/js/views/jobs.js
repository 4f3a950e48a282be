// Every job at a glance.

import { getAll } from "../api.js";
import * as domain from "../domain.js";
import { h } from "../dom.js";
import * as format from "../format.js";
import * as parts from "../parts.js";
import { jobHref } from "../route.js";

export async function load() {
  return { jobs: await getAll("jobs") };
}

export function title() {
  return "Jobs";
}

export function status({ jobs }) {
  const active = jobs.filter((job) => !domain.isFinished(job.state)).length;
  return `${jobs.length} jobs, ${active} of them not finished`;
}

export function render({ jobs }, _route, { metrics }) {
  if (!jobs.length) return [h("h1", null, "Jobs"), h("div", { class: "card" }, none())];
  const heads = ["Job", "State", "Progress", "Baseline", "Best", "Gain", "Spend", "Time"];
  return [
    h("h1", null, "Jobs"),
    h("div", { class: "card" }, parts.table("Jobs, the newest first",
      heads.map((text, index) => parts.head(text, index > 2)), jobs.map((job) => row(job, metrics)), { id: "jobs", class: "stack", role: "table" })),
  ];
}

function none() {
  return parts.empty("No jobs yet",
    h("p", null, "A job says what to tune and for what. Start with a commented file:"),
    h("pre", { class: "code" }, "trimtab init\ntrimtab job create -f trimtab.yaml"));
}

function row(job, metrics) {
  const { progress, spec } = job;
  const { metric } = spec.objectives[0];
  const unit = metrics.get(metric)?.unit ?? "";
  const [spent, devices] = parts.spendLines(progress.spend);
  const { trials_done: done, trials_total: total } = progress;
  return h("tr", { key: job.id, role: "row", "data-job": job.id },
    h("th", { scope: "row", role: "rowheader" }, h("a", { href: jobHref(job.id) }, spec.name),
      h("div", { class: "small quiet" }, workload(spec.workload), " · ", format.moment(job.created_at))),
    h("td", { role: "cell" }, parts.badge(job.state)),
    h("td", { role: "cell", class: "whole" }, h("span", { class: "nowrap" }, `${done} / ${total} trials`), parts.meter(done, total, `${done} of ${total} trials`)),
    figure("Baseline", domain.valueOf(progress.baseline, metric), unit),
    figure("Best", domain.valueOf(progress.best, metric), unit),
    parts.cell("Gain", { class: "num strong" }, parts.gain(progress.best_gain_pct)),
    parts.cell("Spend", { class: "num" }, spent, devices ? h("div", { class: "small quiet" }, devices) : null),
    domain.isFinished(job.state)
      ? parts.cell("Took", { class: "num" }, format.duration(format.secondsBetween(job.started_at, job.ended_at)), h("div", { class: "small quiet" }, "in all"))
      : parts.cell("Time left", { class: "num" }, format.duration(progress.eta_s)));
}

function figure(label, value, unit) {
  return parts.cell(label, { class: "num" }, format.number(value), value === null ? null : h("div", { class: "small quiet" }, unit));
}

function workload({ name, command }) {
  return name ?? command.slice(0, 2).join(" ");
}
