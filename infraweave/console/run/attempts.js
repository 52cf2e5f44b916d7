// What rows of a run's history come to: which attempts count, how long each took. Pure.

/** Kinds whose nodes have no number of attempts that they may have. */
const ONCE = new Set(["human_input", "signal", "timer"]);

/** Whether an attempt was cut off by the end of the process, which is nobody's failure. */
export const isInterrupted = ({ error }) => error?.code === "interrupted";

/** The state to show of a row: its own, or that it was interrupted. */
export const outcome = (row) => (isInterrupted(row) ? "interrupted" : row.state);

const isOfOneStep = (one, other) =>
  one.iteration === other.iteration && one.index === other.index && one.phase === other.phase;

/** Which attempt of so many a row is; those that were interrupted count for none. */
export function attemptOf(row, rows, definition) {
  const step = rows.filter((each) => isOfOneStep(each, row));
  const before = step.filter((each) => each.attempt < row.attempt && isInterrupted(each));
  const goesOn = Boolean(row.retry_at) || step.some((each) => each.attempt > row.attempt);
  const most = row.index === null && definition.kind === "map" ? null : mostOf(definition);
  const number = row.attempt - before.length;
  const counted = most === null ? `${number}` : `${Math.min(number, most)} of ${most}`;
  const notes = [
    isInterrupted(row) && goesOn && "does not count",
    before.length > 0 && `${before.length} before it interrupted`,
  ].filter(Boolean);
  return notes.length ? `${counted} (${notes.join("; ")})` : counted;
}

/** How many attempts a node has; documents leave out what is the default. */
function mostOf({ kind, retry }) {
  if (ONCE.has(kind)) return null;
  return retry ? Number(retry.max_attempts ?? 3) : kind === "subworkflow" ? 1 : 3;
}
