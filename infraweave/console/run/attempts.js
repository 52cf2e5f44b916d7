// How attempts in a run's history are shown: their state, and which ones count. Pure.

/** Kinds of nodes that are never retried. */
const WITHOUT_RETRY = new Set(["human_input", "signal", "timer"]);

/** Whether an attempt was interrupted because the process ended; that is not a failure. */
export const isInterrupted = ({ error }) => error?.code === "interrupted";

/** The state to show for a row of the history. */
export const attemptState = (row) => (isInterrupted(row) ? "interrupted" : row.state);

const isSameStep = (one, other) =>
  one.iteration === other.iteration && one.index === other.index && one.phase === other.phase;

/** "2 of 3": the number of an attempt and the most that there can be. Interrupted attempts do not count. */
export function describeAttempt(row, rows, node) {
  const attempts = rows.filter((each) => isSameStep(each, row));
  const interruptedBefore = attempts.filter((each) => each.attempt < row.attempt && isInterrupted(each)).length;
  const isFollowed = Boolean(row.retry_at) || attempts.some((each) => each.attempt > row.attempt);
  const max = row.index === null && node.kind === "map" ? null : maxAttempts(node);
  const number = row.attempt - interruptedBefore;
  const counted = max === null ? `${number}` : `${Math.min(number, max)} of ${max}`;
  const notes = [
    isInterrupted(row) && isFollowed && "does not count",
    interruptedBefore > 0 && `${interruptedBefore} before it interrupted`,
  ].filter(Boolean);
  return notes.length ? `${counted} (${notes.join("; ")})` : counted;
}

/** The most attempts of a node, or null when it has no retries. Documents leave out defaults. */
function maxAttempts({ kind, retry }) {
  if (WITHOUT_RETRY.has(kind)) return null;
  if (retry) return Number(retry.max_attempts ?? 3);
  return kind === "subworkflow" ? 1 : 3;
}

/** The title of a row: "iteration 2 · item 3 · attempt 1 · failed"; `withState` adds the last part. */
export function executionTitle(row, withState = true) {
  const parts = [
    row.phase === "compensation" && "compensation",
    row.iteration > 1 && `iteration ${row.iteration}`,
    row.index !== null && `item ${row.index}`,
    row.index === null && row.kind === "map" && "all items",
    `attempt ${row.attempt}`,
    withState && attemptState(row),
  ];
  return parts.filter(Boolean).join(" · ");
}
