// The gain of a plan with its bounds, zero, the least gain that is asked for, and every pair.

import { h } from "../dom.js";
import * as format from "../format.js";
import { linear, ticks } from "./scale.js";

const HEIGHT = 78;

export function intervalChart({ plan, leastPct, width }) {
  const shown = Math.min(520, width);
  const { gain_pct: mean, gain_low_pct: low, gain_high_pct: high } = plan;
  const gains = plan.pairs.map((pair) => pair.gain_pct);
  const values = [0, leastPct, mean, low, high, ...gains].filter((value) => value !== null);
  const [from, to] = [Math.min(...values), Math.max(...values)];
  const air = (to - from || 1) * 0.08;
  const x = linear([from - air, to + air], [10, shown - 10]);
  const isProven = low !== null && low > leastPct;
  const label = `Gain ${format.percent(mean)}, between ${format.percent(low)} and ${format.percent(high)}`;
  return h("figure", { class: `chart interval ${isProven ? "" : "open"}` },
    h("svg", { viewBox: `0 0 ${shown} ${HEIGHT}`, height: HEIGHT, role: "img", "aria-label": label },
      ticks(from - air, to + air, 5).map((value) => h("text", { key: value, x: x(value), y: HEIGHT - 4, "text-anchor": "middle" }, `${format.number(value)} %`)),
      h("line", { key: "axis", class: "axis", x1: 0, x2: shown, y1: 56, y2: 56 }),
      low === null ? null : band(x, low, high),
      h("line", { key: "zero", class: "zero", x1: x(0), x2: x(0), y1: 6, y2: 56 }),
      h("line", { key: "least", class: "least", x1: x(leastPct), x2: x(leastPct), y1: 6, y2: 56 }),
      gains.map((gain, index) => h("circle", { key: `p${index}`, class: "pair", cx: x(gain), cy: 46, r: 3 })),
      mean === null ? null : h("path", { key: "mean", class: "mean", d: `M${x(mean)},17l7,7l-7,7l-7,-7z` })),
    h("figcaption", { class: "small quiet" }, `◆ mean and 95 % bounds · ● each pair · dashed: the least gain asked for (${format.number(leastPct)} %)`));
}

function band(x, low, high) {
  const [start, end] = [x(low), x(high)];
  return h("g", { key: "band" },
    h("rect", { class: "band", x: start, y: 15, width: Math.max(1, end - start), height: 18 }),
    h("path", { class: "edge", d: `M${start},12v24M${end},12v24` }));
}
