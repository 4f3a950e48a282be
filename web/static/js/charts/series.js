// A metric over time, a line for each attempt.

import { h } from "../dom.js";
import * as format from "../format.js";
import { extent, linear, short, ticks } from "./scale.js";

const HEIGHT = 260;
const STYLES = 5;

/** `series` as the service gives them: all of one metric. */
export function seriesChart({ series, width }) {
  const points = series.flatMap((one) => one.points);
  const { name, unit } = series[0];
  const frame = layout(points, width);
  const label = `${name} over time, ${series.length === 1 ? "one attempt" : `${series.length} attempts`}; last value ${format.number(points.at(-1)[1])} ${unit}`;
  return h("figure", { class: "chart" },
    h("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "img", "aria-label": label },
      axes(frame, unit ? `${name} (${unit})` : name),
      series.map((one) => h("path", { key: one.attempt_number, class: `line s${one.attempt_number % STYLES}`, d: path(one.points, frame) }))),
    h("ul", { class: "legend" }, series.map((one) => h("li", { key: one.attempt_number },
      h("svg", { viewBox: "0 0 22 12", "aria-hidden": "true" }, h("path", { class: `line s${one.attempt_number % STYLES}`, d: "M0,6H22" })),
      `attempt ${one.attempt_number}: ${format.integer(one.points.length)} points${one.thinned ? ", thinned" : ""}`))));
}

function layout(points, width) {
  const left = 58;
  const bottom = HEIGHT - 34;
  const [low, high] = extent(points.map((point) => point[1])) ?? [0, 1];
  const until = Math.max(...points.map((point) => point[0]), 1e-3);
  return {
    left, bottom, width, low, high, until,
    x: linear([0, until], [left, width - 12]),
    y: linear([low, high], [bottom, 26]),
  };
}

function axes({ left, bottom, width, low, high, until, x, y }, title) {
  return [
    h("text", { key: "title", x: 0, y: 12 }, title),
    h("g", { key: "rows" }, ticks(low, high, 4).map((value) => h("g", { key: value },
      h("line", { class: "grid", x1: left, x2: width, y1: y(value), y2: y(value) }),
      h("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, short(value))))),
    h("line", { key: "axis", class: "axis", x1: left, x2: width, y1: bottom, y2: bottom }),
    h("g", { key: "columns" }, ticks(0, until, Math.max(2, width / 110)).map((value) =>
      h("text", { key: value, x: x(value), y: HEIGHT - 16, "text-anchor": "middle" }, `${short(value)} s`))),
    h("text", { key: "name", x: width, y: HEIGHT, "text-anchor": "end" }, "since the first record"),
  ];
}

function path(points, { x, y }) {
  return points.filter((point) => Number.isFinite(point[1]))
    .map(([t, value], index) => `${index ? "L" : "M"}${x(t).toFixed(1)},${y(value).toFixed(1)}`).join("");
}
