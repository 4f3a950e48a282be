// From figures to pixels.

/** A linear scale; `range` may run downwards. */
export function linear([from, to], [start, end]) {
  const span = to - from || 1;
  return (value) => start + ((value - from) / span) * (end - start);
}

/** Round values at even steps that cover [from, to], about `count` of them. */
export function ticks(from, to, count) {
  const rough = (to - from) / Math.max(1, count) || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough) ?? rough;
  const values = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + step * 1e-9; i++) values.push(i * step || 0);
  return values;
}

/** Whole numbers only. */
export function wholeTicks(from, to, count) {
  const values = ticks(from, to, count).filter(Number.isInteger);
  return values.length ? values : [from];
}

/** The extent of the values, with some air; `null` where there are none. */
export function extent(values, air = 0.08) {
  const finite = values.filter(Number.isFinite);
  if (!finite.length) return null;
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const margin = (high - low || Math.abs(high) || 1) * air;
  return [low >= 0 ? Math.max(0, low - margin) : low - margin, high + margin];
}

/** Short labels for an axis: 65k, 1.2M. */
export function short(value) {
  const size = Math.abs(value);
  const [divisor, suffix] = size >= 1e9 ? [1e9, "G"] : size >= 1e6 ? [1e6, "M"] : size >= 1e3 ? [1e3, "k"] : [1, ""];
  if (size !== 0 && size < 0.001) return value.toExponential(1);
  return `${(value / divisor).toLocaleString("en-US", { maximumSignificantDigits: 4 })}${suffix}`;
}
