// Figures as people read them: thousands separated, no more digits than they carry, units apart.

const UNKNOWN = "—";

/** About four significant digits, never fewer than the whole part has. */
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  const size = Math.abs(value);
  if (size !== 0 && size < 0.0005) return value.toExponential(2);
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : 4;
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
  if (seconds < 3600) return `${number(seconds / 60)} ${device}-min`;
  return `${number(seconds / 3600)} ${device}-h`;
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

/** How a shell would read a list of words; only to be looked at or copied. */
export function shellWords(argv) {
  return argv.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");
}
