// The timeline: one row for each step of a run, with a bar for each attempt.

import { h, reconcile, setContent } from "../lib/dom.js";
import { formatCount, formatDuration, formatTime } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { button } from "../lib/widgets.js";
import { createTimeScale } from "./time_scale.js";

/** The most rows that are shown; failures come first. */
const MAX_ROWS = 250;
/** Pixels that the pointer moves before a press on the axis selects a range. */
const MIN_DRAG = 5;

/** Make a timeline: {box, render, show(model), select(name)}. onSelect(step) is called for a click on a row. */
export function createTimeline(onSelect) {
  let model = null;
  let range = null;
  let selected = null;
  const setRange = (value) => {
    range = value;
    render();
  };
  const axis = h("div.axis", { title: "Drag to zoom" });
  const rows = h("div.rows");
  const note = h("span.muted");
  const wholeRun = button("Whole run", () => setRange(null), { kind: "quiet", hidden: true });
  const box = h(
    "section.timeline",
    { "aria-label": "Timeline" },
    h("header", h("h2", "Timeline"), note, h("div.spacer"), wholeRun),
    h("div.scroll", h("div.timeline-row.head", h("span"), axis), rows),
  );
  const currentScale = () => {
    const now = model.finishedAt === null ? Date.now() : null;
    const whole = [model.startedAt ?? Date.now(), model.finishedAt ?? Date.now()];
    return createTimeScale([...model.steps.values()], range ?? whole, now);
  };
  enableRangeSelection(axis, (from, to) => {
    const scale = currentScale();
    setRange([scale.timeAt(from), scale.timeAt(to)]);
  });

  function render() {
    if (!model) return;
    const scale = currentScale();
    const visible = [...model.steps.values()].filter(
      (step) => (step.end ?? Date.now()) >= scale.from && step.start <= scale.to,
    );
    const shown = visible.length > MAX_ROWS ? failuresFirst(visible) : visible;
    wholeRun.hidden = range === null;
    note.textContent = noteText(model, shown.length, visible.length);
    setContent(axis, axisMarks(scale));
    reconcile(
      rows,
      shown,
      (step) => step.key,
      (step) => makeRow(step, onSelect),
      (row, step) => updateRow(row, step, scale, step.node === selected),
    );
  }
  return {
    box,
    render,
    show(next) {
      model = next;
      render();
    },
    select(name) {
      selected = name;
      render();
    },
  };
}

/** The first rows by time, after the failures have been given their place. */
function failuresFirst(steps) {
  const failed = steps.filter(({ state }) => state === "failed");
  const others = steps.filter(({ state }) => state !== "failed");
  return [...failed, ...others].slice(0, MAX_ROWS).sort((a, b) => a.start - b.start);
}

/** What the rows leave out. */
function noteText(model, shown, visible) {
  if (!model.steps.size) return "Nothing has run yet.";
  const left = visible > shown ? `${formatCount(shown)} of ${formatCount(visible)} executions, failures first` : "";
  if (!model.isPartial) return left;
  return `A long run: its first executions, and those that failed${left && `; ${left}`}`;
}

// --- the axis ------------------------------------------------------------------------------------------------

/** Place an element of the timeline; `from` and `to` are positions from 0 to 1. */
function place(element, from, to = null) {
  element.style.left = `${100 * from}%`;
  if (to !== null) element.style.width = `${100 * (to - from)}%`;
  return element;
}

function axisMarks(scale) {
  const gaps = scale.gaps.map(([start, end]) => {
    const title = `${formatDuration(end - start)} without work, compressed`;
    return place(h("span.gap", { title }, "⋯"), scale.position(start), scale.position(end));
  });
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const time = scale.timeAt(share);
    const kind = share === 0 ? ".first" : share < 1 ? ".middle" : "";
    return place(h(`span.tick${kind}`, { title: formatTime(time) }, `+${formatDuration(time - scale.from)}`), share);
  });
  return [...gaps, ...ticks];
}

/** Call `onSelect(from, to)` with the positions of a range that was dragged over the axis. */
function enableRangeSelection(axis, onSelect) {
  axis.addEventListener("pointerdown", (event) => {
    const { left, width } = axis.getBoundingClientRect();
    const positionOf = ({ clientX }) => Math.min(1, Math.max(0, (clientX - left) / width));
    const start = positionOf(event);
    const rangeTo = (end) => [Math.min(start, end), Math.max(start, end)];
    const mark = h("span.brush");
    axis.append(mark);
    axis.setPointerCapture(event.pointerId);
    const onMove = (next) => place(mark, ...rangeTo(positionOf(next)));
    const finish = (last) => {
      axis.removeEventListener("pointermove", onMove);
      axis.removeEventListener("pointerup", finish);
      axis.removeEventListener("pointercancel", finish);
      mark.remove();
      const [from, to] = rangeTo(positionOf(last));
      if (last.type === "pointerup" && (to - from) * width > MIN_DRAG) onSelect(from, to);
    };
    axis.addEventListener("pointermove", onMove);
    axis.addEventListener("pointerup", finish);
    axis.addEventListener("pointercancel", finish);
  });
}

// --- rows ----------------------------------------------------------------------------------------------------

const stepName = ({ node, iteration, index, isCompensation }) =>
  [node, iteration > 1 && ` · ${iteration}`, index !== null && ` [${index}]`, isCompensation && " · compensation"]
    .filter(Boolean)
    .join("");

const makeRow = (step, onSelect) =>
  h("button.timeline-row", { type: "button", onclick: () => onSelect(step) }, h("span.label"), h("span.track"));

/** Render a row again, unless what it shows is the same as before. */
function updateRow(row, step, scale, isSelected) {
  row.classList.toggle("selected", isSelected);
  const version = [step.end, step.state, step.attempts.length, scale.from, scale.to, scale.gaps.length].join("|");
  if (step.end !== null && row.dataset.version === version) return;
  row.dataset.version = version;
  const [label, track] = row.children;
  const hasEnded = step.end !== null && step.state !== "retrying";
  const duration = hasEnded ? formatDuration(step.end - step.start) : "";
  row.setAttribute("aria-label", `${stepName(step)}, ${step.state}${duration && `, ${duration}`}`);
  setContent(label, icon(step.isCompensation ? "compensated" : step.state), h("span", stepName(step)));
  const durationLabel = place(h("span.duration", duration), scale.position(step.end ?? scale.to));
  setContent(
    track,
    step.attempts.map((_, index) => attemptBars(step, index, scale)),
    durationLabel,
  );
}

/** The bar of an attempt, and one for the wait until the next attempt. */
function attemptBars(step, index, scale) {
  const { number, state, start, end } = step.attempts[index];
  const until = end ?? scale.to;
  const title = `attempt ${number}: ${state}, ${formatDuration(until - start)}`;
  const bars = [makeBar(start, until, `${step.waits ? "wait " : ""}is-${state}`, title, scale)];
  const isRetrying = step.state === "retrying";
  const next = step.attempts[index + 1]?.start ?? (isRetrying ? Math.max(scale.to, until) : null);
  if (next && end) {
    const reason = state === "interrupted" ? "interrupted" : "waiting to retry";
    bars.push(makeBar(end, next, "wait", `${reason}, ${formatDuration(next - end)}`, scale));
  }
  return bars;
}

function makeBar(from, to, classes, title, scale) {
  const bar = h("span.bar", { title });
  bar.classList.add(...classes.split(" "));
  place(bar, scale.position(from), scale.position(to));
  bar.style.width = `max(${bar.style.width}, 3px)`;
  return bar;
}
