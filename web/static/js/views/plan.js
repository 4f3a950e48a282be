// The plan of a job: the answer first, then what it rests on, then what can be done with it.

import { action, isBusy } from "../actions.js";
import { at } from "../api.js";
import { intervalChart } from "../charts/interval.js";
import * as domain from "../domain.js";
import { h } from "../dom.js";
import * as format from "../format.js";
import * as parts from "../parts.js";

const VERDICTS = {
  better: "Better than the baseline",
  within_noise: "Within noise: no difference is proven",
  not_better: "Not better than the baseline",
  limit_broken: "A limit was broken while confirming",
  unproven: "Nothing to compare with: the baseline gave no measurement",
};

const OVER = ["rolled_back", "superseded", "failed", "rejected", "expired", "frozen"];
const ON_TARGET = ["canary", "live", "paused"];

export function planCard(view, context) {
  const [plan] = view.plans;
  if (!plan) return view.job.state === "confirming" ? confirming(view.job) : null;
  const applications = view.applications.filter((one) => one.plan_id === plan.id);
  return h("section", { class: "card", key: "plan", id: "plan" },
    h("div", { class: "card-head" }, h("h2", null, "Plan"), parts.badge(plan.verdict),
      h("div", { class: "actions" }, applyButton(plan, view, context.refresh), rollbackButton(view, context.refresh))),
    h("div", { class: "sentences" }, h("p", { class: "strong" }, VERDICTS[plan.verdict] ?? format.words(plan.verdict)),
      plan.explanation.filter((sentence) => !view.job.message.includes(sentence)).map((sentence) => h("p", null, sentence))),
    learningNote(plan, view.job.spec),
    h("div", { class: "columns" },
      h("div", { key: "evidence" }, gainPart(plan, view.job.spec, context), costPart(plan)),
      h("div", { key: "figures" }, figures(plan, view.job.spec, context.metrics))),
    difference(plan),
    command(plan),
    applications.length ? applied(applications) : null);
}

function confirming({ progress }) {
  return h("section", { class: "card", key: "plan", id: "plan" }, h("div", { class: "card-head" }, h("h2", null, "Plan")),
    h("p", { class: "soft" }, `The best trial is being confirmed against the baseline: ${progress.pairs_done} of ${progress.pairs_total} fresh pairs are done.`),
    parts.meter(progress.pairs_done, progress.pairs_total, "Confirming pairs"));
}

function applyButton(plan, { job, applications }, refresh) {
  const path = `${at("plans", plan.id)}:apply`;
  const { target } = job.spec.apply;
  const isInForce = applications.some((one) => one.plan_id === plan.id && !OVER.includes(one.state));
  const question = {
    title: "Apply this plan?",
    lines: [
      target?.kind === "file" ? `The plan is written to ${target.path}; the next start of the job takes it from there.` : null,
      target && target.kind !== "file" ? `The plan is put on the target (${target.kind}), watched there, and taken back should it do worse.` : null,
      plan.verdict === "better" ? `Gain ${format.percent(plan.gain_pct)}, at least ${format.percent(plan.gain_low_pct)}.` : `Mind: ${VERDICTS[plan.verdict] ?? plan.verdict}.`,
      plan.learning_changes.length ? `It changes what the model learns: ${plan.learning_changes.join(", ")}.` : null,
      "You can roll it back.",
    ],
    action: "Apply",
  };
  return h("button", {
    key: "apply", type: "button", class: "main", disabled: !target || isInForce || isBusy(path),
    title: target ? null : "The job names no target (apply.target)",
    onclick: action(path, question, "Applying was asked for.", refresh),
  }, isInForce ? "Applied" : "Apply");
}

function rollbackButton({ applications }, refresh) {
  const inForce = applications.find((one) => ON_TARGET.includes(one.state));
  if (!inForce) return null;
  const path = `${at("applications", inForce.id)}:rollback`;
  const question = {
    title: "Roll back?",
    lines: [`What was on ${inForce.target_path} before is put back: ${inForce.before_hash ? `plan ${inForce.before_hash.slice(0, 12)}` : "nothing"}.`],
    action: "Roll back",
    isDanger: true,
  };
  return h("button", { key: "rollback", type: "button", class: "danger", disabled: isBusy(path), onclick: action(path, question, "Rolling back was asked for.", refresh) }, "Roll back");
}

function learningNote(plan, spec) {
  if (!plan.learning_changes.length) return null;
  const metric = spec.quality?.metric;
  const [before, after] = [plan.baseline_metrics[metric], plan.metrics[metric]];
  const known = before !== undefined && after !== undefined;
  const verdict = { true: "as good as before at equal samples", false: "worse than allowed at equal samples" }[plan.quality_ok] ?? "not known: no quality figure was measured";
  return h("div", { key: "learning", class: `note ${plan.quality_ok === true ? "good" : plan.quality_ok === false ? "bad" : "warn"}` },
    h("p", null, h("span", { class: "strong" }, "It changes what the model learns: "), plan.learning_changes.join(", "), "."),
    h("p", null, `Quality is ${verdict}${known ? ` (${metric} ${format.number(before)} → ${format.number(after)})` : ""}.`));
}

function gainPart(plan, spec, context) {
  if (plan.gain_pct === null) return null;
  const width = context.width < 760 ? context.width - 32 : Math.min(520, context.width / 2 - 50);
  return [
    h("h3", { key: "t" }, "Gain over the baseline"),
    h("p", { key: "g", class: "strong" }, parts.gain(plan.gain_pct), h("span", { class: "soft" }, ` (${format.percent(plan.gain_low_pct)} to ${format.percent(plan.gain_high_pct)}), ${plan.pairs.filter((pair) => pair.decides !== false).length} pairs`)),
    h("div", { key: "c" }, intervalChart({ plan, leastPct: spec.apply.min_gain_pct, width })),
    h("details", { key: "pairs" }, h("summary", null, "Every pair"), pairs(plan, spec.objectives[0].metric)),
  ];
}

function pairs(plan, metric) {
  return parts.table("Confirming pairs", [parts.head("Pair", true), parts.head("First"), parts.head("Baseline", true), parts.head("Plan", true), parts.head("Gain", true)],
    plan.pairs.map((pair) => h("tr", { key: pair.number }, h("td", { class: "num" }, String(pair.number)), h("td", null, pair.candidate_first ? "plan" : "baseline"),
      h("td", { class: "num" }, format.number(pair.baseline[metric])), h("td", { class: "num" }, format.number(pair.candidate[metric])), h("td", { class: "num" }, parts.gain(pair.gain_pct)))));
}

function costPart(plan) {
  const [first, rest] = parts.spendLines(plan.search_spend);
  const payback = plan.payback_samples === null ? "never, or not known"
    : `after ${format.number(plan.payback_samples)} samples${plan.payback_s === null ? "" : `, ${format.duration(plan.payback_s)} of running`}`;
  return [
    h("h3", { key: "s" }, "What the search cost"), h("p", { key: "sv" }, [first, rest, format.duration(plan.search_spend.wall_s)].filter(Boolean).join(" · ")),
    h("h3", { key: "p" }, "It pays back"), h("p", { key: "pv" }, payback),
  ];
}

function figures(plan, spec, metrics) {
  const names = Object.keys(plan.metrics);
  if (!names.length) return null;
  return [h("h3", { key: "t" }, "Measured while confirming"),
    parts.table("Measured while confirming", [parts.head("Metric"), parts.head("Baseline", true), parts.head("Plan", true), parts.head("Change", true)],
      names.map((name) => figureRow(name, plan, domain.directionOf(name, spec, metrics), metrics.get(name)?.unit)))];
}

function figureRow(name, plan, direction, unit) {
  const [before, after] = [plan.baseline_metrics[name] ?? null, plan.metrics[name]];
  const change = before ? 100 * (after / before - 1) : null;
  const isGood = change === null || direction === null || Math.abs(change) < 0.05 ? null : (change > 0) === (direction === "maximize");
  return h("tr", { key: name }, h("th", { scope: "row" }, name, unit ? h("span", { class: "small quiet" }, ` ${unit}`) : null),
    h("td", { class: "num" }, format.number(before)), h("td", { class: "num" }, format.number(after)),
    h("td", { class: `num ${isGood === null ? "" : isGood ? "good" : "bad"}` }, format.percent(change)));
}

function difference(plan) {
  const rows = domain.compareParams(plan.baseline_params, plan.params);
  const changed = rows.filter((row) => row.differs);
  const same = rows.length - changed.length;
  return h("div", { key: "difference" }, h("h3", null, `Configuration: ${changed.length} of ${rows.length} parameters change`),
    changed.length ? parts.table("Parameters that change", [parts.head("Parameter"), parts.head("Baseline"), parts.head("Plan")],
      changed.map((row) => h("tr", { key: row.name }, h("th", { scope: "row", class: "mono" }, row.name), h("td", { class: "mono" }, String(row.before ?? "not set")), h("td", { class: "mono strong" }, String(row.after ?? "not set"))))) : null,
    same ? h("p", { class: "small quiet" }, `Unchanged: ${rows.filter((row) => !row.differs).map((row) => `${row.name}=${row.after}`).join(", ")}`) : null);
}

function command(plan) {
  const { argv, env, working_dir: folder, nnodes, nproc_per_node: ranks } = plan.command;
  const text = format.shellCommand(env, argv);
  return h("div", { key: "command" }, h("h3", null, `Launch command: ${nnodes} ${nnodes === 1 ? "node" : "nodes"} × ${ranks} ${ranks === 1 ? "rank" : "ranks"}, in ${folder}`),
    h("pre", { class: "code command", tabindex: 0 }, text),
    h("div", { class: "meta" }, h("span", { class: "mono" }, `${plan.id} · ${plan.plan_hash.slice(0, 16)}`),
      h("button", { type: "button", class: "bare", onclick: (event) => copy(text, event.target) }, "Copy")));
}

async function copy(text, button) {
  await navigator.clipboard.writeText(text);
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function applied(applications) {
  return h("div", { key: "applications" }, h("h3", null, "Applications"),
    parts.table("Applications, the newest first", ["State", "Target", "By", "When", "Message"].map((text) => parts.head(text)),
      applications.map((one) => h("tr", { key: one.id, "data-application": one.id }, h("td", null, parts.badge(one.state)),
        h("td", { class: "mono" }, one.target_path), h("td", null, one.actor), h("td", { class: "nowrap" }, format.moment(one.updated_at)), h("td", null, one.message)))));
}
