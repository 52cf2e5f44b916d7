// The time axis of the timeline: positions for times, with long gaps without work compressed. Pure.

/** The width of a compressed gap, as a share of the time in which code ran. */
const GAP_SHARE = 0.06;
/** A gap is compressed when it is this many times longer than a compressed one. */
const GAP_FACTOR = 4;

/**
 * Make the scale of steps between two times: {from, to, gaps, position(time), timeAt(position)}.
 *
 * Times are in milliseconds, positions go from 0 to 1. The scale of a run that has not ended goes on to `now`.
 */
export function createTimeScale(steps, [from, until], now = null) {
  const to = Math.max(now === null ? until : Math.max(until, now), from + 1);
  const gaps = findGaps(
    steps.flatMap((step) => workIntervals(step, to)),
    from,
    to,
  );
  const work = to - from - total(gaps);
  const width = Math.max(Math.max(work, 1) * GAP_SHARE, 1);
  const compressed = gaps.filter((gap) => length(gap) > GAP_FACTOR * width);
  const whole = to - from - total(compressed) + compressed.length * width;
  const position = (time) => {
    const at = Math.min(Math.max(time, from), to);
    let x = at - from;
    for (const gap of compressed) {
      const [start, end] = gap;
      if (at >= end) x -= length(gap) - width;
      else if (at > start) x -= (at - start) * (1 - width / length(gap));
    }
    return x / whole;
  };
  return { from, to, gaps: compressed, position, timeAt: (share) => invert(position, share, from, to) };
}

const length = ([start, end]) => end - start;
const total = (intervals) => intervals.reduce((sum, interval) => sum + length(interval), 0);

/** When a step's code ran. A wait counts only at its start and its end. */
function workIntervals(step, now) {
  if (!step.waits) return step.attempts.map((attempt) => [attempt.start, attempt.end ?? now]);
  return [step.start, step.end].filter((time) => time !== null).map((time) => [time, time]);
}

/** The intervals between two times in which nothing ran. */
function findGaps(intervals, from, to) {
  const visible = intervals.filter(([start, end]) => end >= from && start <= to).sort((a, b) => a[0] - b[0]);
  const gaps = [];
  let last = from;
  for (const [start, end] of [...visible, [to, to]]) {
    if (start > last) gaps.push([last, start]);
    last = Math.max(last, end);
  }
  return gaps;
}

/** Find where a function that only grows has a value, by bisection. */
function invert(grows, value, low, high) {
  for (let n = 0; n < 50; n += 1) {
    const middle = (low + high) / 2;
    if (grows(middle) < value) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
