// Figures as people read them: thousands separated, no more digits than they carry, units apart.

const UNKNOWN = "—";

/** Four significant digits, and all of the whole part. */
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  const size = Math.abs(value);
  if (size !== 0 && size < 0.0005) return value.toExponential(2);
  if (size < 0.1) return value.toLocaleString("en-US", { maximumSignificantDigits: 4 });
  if (size < 1) return value.toLocaleString("en-US", { minimumFractionDigits: 4, maximumFractionDigits: 4 });
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 3;
  return value.toLocaleString("en-US", { maximumFractionDigits: digits });
}

export function integer(value) {
  return value.toLocaleString("en-US", { maximumFractionDigits: 0 });
}

/** With its sign, one digit after the point. */
export function percent(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  const text = Math.abs(value).toLocaleString("en-US", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  return `${value < 0 ? "−" : "+"}${text} %`;
}

export function usd(value) {
  if (value === null || value === undefined) return UNKNOWN;
  const digits = value === 0 || value >= 1 ? 2 : value >= 0.01 ? 3 : 5;
  return `$${value.toLocaleString("en-US", { minimumFractionDigits: Math.min(2, digits), maximumFractionDigits: digits })}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return UNKNOWN;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const hours = Math.floor(whole / 3600);
  if (hours < 48) return `${hours} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${integer(Math.floor(hours / 24))} d ${hours % 24} h`;
}

/** Core time or GPU time, in the unit that suits it. */
export function deviceTime(seconds, device) {
  const [size, unit] = seconds < 3600 ? [seconds / 60, "min"] : [seconds / 3600, "h"];
  const text = size < 100 ? size.toLocaleString("en-US", { maximumSignificantDigits: 3 }) : integer(size);
  return `${text} ${device}-${unit}`;
}

export function moment(text) {
  if (!text) return UNKNOWN;
  const date = new Date(text);
  const today = new Date().toDateString() === date.toDateString();
  const day = today ? {} : { year: "numeric", month: "short", day: "numeric" };
  return date.toLocaleString(undefined, { ...day, hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
}

export function secondsBetween(from, to) {
  return from ? Math.max(0, (new Date(to ?? Date.now()) - new Date(from)) / 1000) : null;
}

export function words(name) {
  return name.replaceAll("_", " ");
}

export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A command as a shell would read it, an option on each line; only to be looked at or copied. */
export function shellCommand(env, argv) {
  const lines = [...Object.entries(env).map(([name, value]) => `${name}=${quoted(value)}`), ""];
  for (const word of argv) {
    if (word.startsWith("--")) lines.push(`  ${quoted(word)}`);
    else lines[lines.length - 1] += lines.at(-1) ? ` ${quoted(word)}` : quoted(word);
  }
  return lines.join(" \\\n");
}

function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
