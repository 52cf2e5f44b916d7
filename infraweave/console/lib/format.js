// How values are written: times, durations, numbers. Pure.

const UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
];

/** A duration in milliseconds, in at most two units: "840 ms", "4.2 s", "3m 20s", "2d 4h". */
export function formatDuration(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return "–";
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 60_000) return "1m"; // which "60.0 s" would be
  const largest = UNITS.findIndex(([, size]) => ms >= size);
  const [unit, size] = UNITS[largest];
  const [smallUnit, smallSize] = UNITS[largest + 1];
  const rest = Math.floor((ms % size) / smallSize);
  return `${Math.floor(ms / size)}${unit}${rest ? ` ${rest}${smallUnit}` : ""}`;
}

/** A time relative to now: "just now", "12s ago", "in 3m". */
export function formatRelative(at, now = Date.now()) {
  const ms = now - at;
  if (Math.abs(ms) < 1000) return "just now";
  const [unit, size] = UNITS.find(([, each]) => Math.abs(ms) >= each);
  const text = `${Math.floor(Math.abs(ms) / size)}${unit}`;
  return ms > 0 ? `${text} ago` : `in ${text}`;
}

const DATE_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
export const formatDateTime = (at) => DATE_TIME.format(new Date(at));
const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const formatTime = (at) => TIME.format(new Date(at));

const INTEGER = new Intl.NumberFormat("en");
export const formatCount = (number) => INTEGER.format(number);
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
export const formatCompact = (number) => (Math.abs(number) < 10_000 ? INTEGER : COMPACT).format(number);

/** Micro-dollars as dollars; small amounts get more digits. */
export function formatDollars(micro) {
  const value = micro / 1e6;
  if (value === 0) return "$0";
  return `$${value.toFixed(value >= 1 ? 2 : value >= 0.01 ? 3 : 6)}`;
}

const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];

export function formatBytes(bytes) {
  const power = Math.min(SIZES.length - 1, Math.max(0, Math.floor(Math.log2(bytes || 1) / 10)));
  const size = bytes / 1024 ** power;
  return `${power && size < 100 ? size.toFixed(1) : Math.round(size)} ${SIZES[power]}`;
}

/** A share between 0 and 1 as percent. A second digit keeps 99.95 % from being written as 100 %. */
export const formatPercent = (share) =>
  share === null ? "–" : `${(100 * share).toFixed(share > 0.995 && share < 1 ? 2 : 1).replace(/\.0$/, "")} %`;

export const truncate = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
export const pluralize = (number, noun) => `${formatCount(number)} ${noun}${number === 1 ? "" : "s"}`;
/** A run id begins with its creation time, so its last characters tell neighbouring runs apart. */
export const shortId = (id) => `${id.slice(0, 4)}…${id.slice(-6)}`;
/** A sentence with its ISO timestamps in the reader's own format. */
export const localizeTimes = (sentence) =>
  sentence.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, (at) => formatDateTime(Date.parse(at)));
