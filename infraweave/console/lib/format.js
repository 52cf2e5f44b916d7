// How values read: times, durations, numbers. Pure.

const UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
];

/** A span of milliseconds in at most two units: "840 ms", "4.2 s", "3m 20s", "2d 4h". */
export function span(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return "–";
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const first = UNITS.findIndex(([, size]) => ms >= size);
  const [unit, size] = UNITS[first];
  const whole = Math.floor(ms / size);
  const [small, smallSize] = UNITS[first + 1];
  const rest = Math.floor((ms - whole * size) / smallSize);
  return rest ? `${whole}${unit} ${rest}${small}` : `${whole}${unit}`;
}

/** How long ago, or how soon: "12s ago", "in 3m". */
export function relative(at, now = Date.now()) {
  const ms = now - at;
  const [unit, size] = UNITS.find(([, each]) => Math.abs(ms) >= each) ?? ["s", 1000];
  const text = `${Math.floor(Math.abs(ms) / size)}${unit}`;
  if (Math.abs(ms) < 1000) return "just now";
  return ms > 0 ? `${text} ago` : `in ${text}`;
}

const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
export const exact = (at) => EXACT.format(new Date(at));
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const clock = (at) => CLOCK.format(new Date(at));

const WHOLE = new Intl.NumberFormat("en");
export const count = (number) => WHOLE.format(number);
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
export const compact = (number) => (Math.abs(number) < 10_000 ? WHOLE.format(number) : SHORT.format(number));

/** Micro-dollars as dollars, with as many digits as small sums need. */
export function dollars(micro) {
  const value = micro / 1e6;
  if (value === 0) return "$0";
  return `$${value.toFixed(value >= 1 ? 2 : value >= 0.01 ? 3 : 6)}`;
}

export function bytes(size) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (size >= 1024 && at < units.length - 1) {
    size /= 1024;
    at += 1;
  }
  return `${at && size < 100 ? size.toFixed(1) : Math.round(size)} ${units[at]}`;
}

export const percent = (share) =>
  share === null ? "–" : `${(100 * share).toFixed(share > 0.995 && share < 1 ? 2 : 1).replace(/\.0$/, "")} %`;
export const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
export const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
/** The time a run id was made at is in it; its last characters tell neighbours apart. */
export const shortId = (id) => `${id.slice(0, 4)}…${id.slice(-6)}`;
/** A sentence with its exact times as people write them. */
export const readable = (sentence) =>
  sentence.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, (at) => exact(Date.parse(at)));
