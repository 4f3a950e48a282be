// The trials of a job: what each was worth, the best so far, the baseline, and what failed.

import * as domain from "../domain.js";
import { h } from "../dom.js";
import * as format from "../format.js";
import { trialHref } from "../route.js";
import { extent, linear, short, ticks, wholeTicks } from "./scale.js";

const HEIGHT = 320;
const LANE = 30;

/** `hover` is the number of the trial under the pointer or the focus. */
export function historyChart({ job, trials, objective, unit, width, hover, setHover }) {
  const frame = layout(trials, job, objective, width);
  const marks = trials.map((trial) => mark(trial, { job, objective, unit, frame, hover, setHover }));
  const shown = trials.find((trial) => trial.number === hover);
  return h("figure", { class: "chart", onmouseleave: () => setHover(null) },
    h("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "group", "aria-label": `${objective.metric} of each trial; the table below has the same figures` },
      axes(frame, objective, unit),
      bestLine(frame, trials, objective),
      baselineLine(frame, trials, objective),
      h("g", { class: "points" }, marks)),
    shown ? tip(shown, { job, trials, objective, unit, frame }) : null,
    legend());
}

function layout(trials, job, objective, width) {
  const left = 58;
  const right = 14;
  const values = trials.flatMap((trial) => [domain.valueOf(trial, objective.metric), ...(domain.intervalOf(trial, objective.metric) ?? [])]);
  const [low, high] = extent(values.filter((value) => value !== null)) ?? [0, 1];
  const last = Math.max(job.progress.trials_total - 1, ...trials.map((trial) => trial.number), 1);
  const bottom = HEIGHT - 34 - LANE;
  return {
    width, left, bottom, last, low, high,
    lane: bottom + LANE / 2 + 4,
    x: linear([0, last], [left + 16, width - right - 8]),
    y: linear([low, high], [bottom, 26]),
  };
}

function axes(frame, objective, unit) {
  const { x, y, left, width, bottom, lane } = frame;
  const rows = ticks(frame.low, frame.high, 5).map((value) => h("g", { key: `y${value}` },
    h("line", { class: "grid", x1: left, x2: width, y1: y(value), y2: y(value) }),
    h("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, short(value))));
  const columns = wholeTicks(0, frame.last, Math.max(2, width / 90)).map((value) =>
    h("text", { key: `x${value}`, x: x(value), y: HEIGHT - 14, "text-anchor": "middle" }, String(value)));
  return [
    h("rect", { key: "lane", class: "lane", x: left, y: lane - 11, width: width - left, height: 22, rx: 4 }),
    h("g", { key: "rows" }, rows),
    h("text", { key: "unit", x: 0, y: 12 }, unit ? `${objective.metric} (${unit})` : objective.metric),
    h("line", { key: "axis", class: "axis", x1: left, x2: width, y1: bottom, y2: bottom }),
    h("g", { key: "columns" }, columns),
    h("text", { key: "name", x: width, y: HEIGHT, "text-anchor": "end" }, "trial number"),
  ];
}

function bestLine(frame, trials, objective) {
  const steps = domain.bestSoFar(trials, objective);
  if (!steps.length) return null;
  const { x, y } = frame;
  const last = Math.max(...trials.map((trial) => trial.number));
  let path = `M${x(steps[0][0])},${y(steps[0][1])}`;
  for (const [number, value] of steps.slice(1)) path += `H${x(number)}V${y(value)}`;
  return h("path", { key: "best", class: "sofar", d: `${path}H${x(last)}` });
}

function baselineLine(frame, trials, objective) {
  const value = domain.valueOf(trials[0], objective.metric);
  if (value === null) return null;
  const y = frame.y(value);
  return h("line", { key: "base", class: "baseline", x1: frame.left, x2: frame.width, y1: y, y2: y });
}

function mark(trial, { job, objective, unit, frame, hover, setHover }) {
  const value = domain.valueOf(trial, objective.metric);
  const at = { x: frame.x(trial.number), y: value === null ? frame.lane : frame.y(value) };
  const isBest = job.progress.best?.number === trial.number;
  const isInfeasible = domain.brokenLimits(trial, job.spec).length > 0;
  const classes = ["point", isBest && "best", isInfeasible && "infeasible", hover === trial.number && "here"];
  return h("a", {
    key: trial.number, href: trialHref(job.id, trial.number), class: classes.filter(Boolean).join(" "),
    "aria-label": summary(trial, objective, unit), "data-trial": trial.number, "data-state": trial.state,
    onmouseenter: () => setHover(trial.number), onfocus: () => setHover(trial.number), onblur: () => setHover(null),
  }, whisker(trial, objective, frame, at), shape(trial, value, isBest, at),
  h("circle", { class: "ring", cx: at.x, cy: at.y, r: 10 }), h("circle", { class: "hit", cx: at.x, cy: at.y, r: 12 }));
}

function whisker(trial, objective, { y }, at) {
  const interval = domain.intervalOf(trial, objective.metric);
  if (!interval) return null;
  const [low, high] = interval.map(y);
  const d = `M${at.x},${low}V${high}M${at.x - 3.5},${low}h7M${at.x - 3.5},${high}h7`;
  return h("path", { class: "whisker", d });
}

function shape(trial, value, isBest, { x, y }) {
  if (value !== null && isBest) return h("path", { class: "dot", d: `M${x},${y - 7.5}l7.5,7.5l-7.5,7.5l-7.5,-7.5z` });
  if (value !== null) return h("circle", { class: "dot", cx: x, cy: y, r: 5 });
  if (trial.state === "failed") return h("path", { class: "cross", d: `M${x - 5},${y - 5}l10,10m0,-10l-10,10` });
  return h("path", { class: "pending", d: `M${x - 5},${y + 4.5}h10l-5,-9.5z` });
}

function summary(trial, objective, unit) {
  const value = domain.valueOf(trial, objective.metric);
  const what = value === null ? trial.failure?.cause ?? trial.state : `${format.number(value)} ${unit}`;
  return `Trial ${trial.number}${trial.number === 0 ? ", the baseline" : ""}: ${what}`;
}

function tip(trial, { job, trials, objective, unit, frame }) {
  const value = domain.valueOf(trial, objective.metric);
  const interval = domain.intervalOf(trial, objective.metric);
  const gain = domain.gainPct(value, domain.valueOf(trials[0], objective.metric), objective.direction);
  const x = frame.x(trial.number);
  const y = value === null ? frame.lane : frame.y(value);
  // Beside the point, on the side that has room, never beyond the chart.
  const beside = x > frame.width / 2 ? `calc(${x - 16}px - 100%)` : `${x + 16}px`;
  const across = `clamp(0px, ${beside}, calc(${frame.width}px - 100%))`;
  const down = y > HEIGHT / 2 ? `calc(${y}px - 100%)` : `${y}px`;
  return h("div", { class: "tip", role: "tooltip", style: { transform: `translate(${across}, ${down})` } },
    h("p", { class: "strong" }, trial.number === 0 ? "Trial 0, the baseline" : `Trial ${trial.number}`),
    value === null ? h("p", null, format.words(trial.failure?.kind ?? trial.state)) : h("p", null, `${format.number(value)} ${unit}`),
    interval ? h("p", { class: "quiet" }, `${format.number(interval[0])} to ${format.number(interval[1])}`) : null,
    gain !== null && trial.number > 0 ? h("p", null, `${format.percent(gain)} against the baseline`) : null,
    domain.brokenLimits(trial, job.spec).map((text) => h("p", { class: "bad" }, text)));
}

const LEGEND = [
  ["measured, 95 % interval", [["line", { class: "whisker", x1: 11, x2: 11, y1: 0, y2: 12 }], ["circle", { class: "dot", cx: 11, cy: 6, r: 4.5 }]]],
  ["best", [["path", { class: "dot", d: "M11,0l6,6l-6,6l-6,-6z" }]], "best"],
  ["breaks a limit", [["circle", { class: "dot", cx: 11, cy: 6, r: 4.5 }]], "infeasible"],
  ["failed", [["path", { class: "cross", d: "M7,2l8,8m0,-8l-8,8" }]]],
  ["waiting or running", [["path", { class: "pending", d: "M6,10.5h10l-5,-9z" }]]],
  ["best so far", [["line", { class: "sofar", x1: 0, x2: 22, y1: 6, y2: 6 }]]],
  ["baseline", [["line", { class: "baseline", x1: 0, x2: 22, y1: 6, y2: 6 }]]],
];

function legend() {
  return h("ul", { class: "legend" }, LEGEND.map(([text, shapes, kind]) => h("li", { key: text },
    h("svg", { viewBox: "0 0 22 12", "aria-hidden": "true" }, h("g", { class: kind ?? "" }, shapes.map(([tag, attributes]) => h(tag, attributes)))), text)));
}
