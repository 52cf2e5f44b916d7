// The timeline: one row for each execution of a node, attempts as segments, long quiet gaps compressed.

import { follow, h, put } from "../lib/dom.js";
import { clock, count, span } from "../lib/format.js";
import { button, icon } from "../lib/widgets.js";

const ROWS = 250;
/** A gap takes the place of so much of what happens; only what is longer is compressed. */
const GAP = 0.06;

/** Make a timeline; `choose(step)` is called for a click on a row. */
export function timeline(choose) {
  let model = null,
    range = null,
    chosen = null,
    drawn = new Map();
  const axis = h("div.axis", { title: "Drag to zoom" }),
    rows = h("div.rows");
  const note = h("span.faint");
  const whole = button(
    "Whole run",
    () => {
      range = null;
      draw();
    },
    { kind: "quiet", hidden: true },
  );
  const box = h(
    "section.timeline",
    { "aria-label": "Timeline" },
    h("header", h("h2", "Timeline"), note, h("div.spring"), whole),
    h("div.scroll", h("div.lane.head", h("span"), axis), rows),
  );
  brush(axis, (from, to) => {
    const scale = scaleOf();
    range = [scale.back(from), scale.back(to)];
    draw();
  });

  const scaleOf = () =>
    makeScale(
      [...model.steps.values()],
      range ?? [model.startedAt ?? Date.now(), model.finishedAt ?? Date.now()],
      model.finishedAt === null,
    );
  function draw() {
    if (!model) return;
    const scale = scaleOf();
    const all = [...model.steps.values()].filter(
      (step) => (step.end ?? Date.now()) >= scale.from && step.start <= scale.to,
    );
    const shown =
      all.length > ROWS
        ? [...all.filter(({ state }) => state === "failed"), ...all.filter(({ state }) => state !== "failed")]
            .slice(0, ROWS)
            .sort((a, b) => a.start - b.start)
        : all;
    whole.hidden = range === null;
    note.textContent = told(model, shown.length, all.length);
    put(axis, ticks(scale));
    follow(
      rows,
      shown,
      (step) => step.key,
      (step) => row(step, choose),
      (element, step) => {
        const now = step.end === null ? Date.now() : 0;
        const stamp = `${step.end}|${step.state}|${step.attempts.length}|${scale.stamp}|${now}`;
        element.classList.toggle("chosen", chosen !== null && step.node === chosen);
        if (drawn.get(step.key) === stamp) return;
        drawn.set(step.key, stamp);
        fillRow(element, step, scale);
      },
    );
  }
  return {
    box,
    draw,
    show(next) {
      model = next;
      draw();
    },
    select(name) {
      chosen = name;
      draw();
    },
  };
}

/** What is shown of how much. */
function told(model, shown, all) {
  if (!model.steps.size) return "Nothing has run yet.";
  const left = all > shown ? `${count(shown)} of ${count(all)} executions, failures first` : "";
  return model.partial ? `A long run: its first executions, and those that failed${left && `; ${left}`}` : left;
}

/** Places on the axis, in parts of its width, for times; quiet gaps in between are short. */
function makeScale(steps, [from, to], live = false) {
  const end = Math.max(live ? Math.max(to, Date.now()) : to, from + 1);
  const busy = union(steps.flatMap((step) => active(step, end)).filter(([a, b]) => b >= from && a <= end));
  const gaps = [];
  let last = from;
  for (const [a, b] of [...busy, [end, end]]) {
    if (a > last) gaps.push([last, a]);
    last = Math.max(last, b);
  }
  const quiet = gaps.reduce((sum, [a, b]) => sum + b - a, 0);
  const work = Math.max(end - from - quiet, 1);
  const short = Math.max(work * GAP, 1);
  const squeezed = gaps.filter(([a, b]) => b - a > 4 * short);
  const total = end - from - squeezed.reduce((sum, [a, b]) => sum + b - a - short, 0);
  const place = (at) => {
    const clipped = Math.min(Math.max(at, from), end);
    let x = clipped - from;
    for (const [a, b] of squeezed) {
      if (clipped >= b) x -= b - a - short;
      else if (clipped > a) x -= (clipped - a) * (1 - short / (b - a));
    }
    return x / total;
  };
  const back = (part) => {
    let low = from,
      high = end;
    for (let n = 0; n < 50; n += 1) {
      const mid = (low + high) / 2;
      if (place(mid) < part) low = mid;
      else high = mid;
    }
    return (low + high) / 2;
  };
  return { from, to: end, place, back, gaps: squeezed, stamp: `${from}|${end}|${squeezed.length}` };
}

/** When code was at work, so that the axis gives it room; a wait counts at its two ends alone. */
function active(step, now) {
  if (step.waits) return [[step.start, step.start], ...(step.end === null ? [] : [[step.end, step.end]])];
  return step.attempts.map((attempt) => [attempt.start, attempt.end ?? now]);
}

function union(spans) {
  const sorted = spans.toSorted((a, b) => a[0] - b[0]);
  const joined = [];
  for (const [a, b] of sorted) {
    const last = joined.at(-1);
    if (last && a <= last[1]) last[1] = Math.max(last[1], b);
    else joined.push([a, b]);
  }
  return joined;
}

function ticks(scale) {
  const marks = [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const at = scale.back(part);
    const mark = h(
      `span.tick${part === 0 ? ".first" : part < 1 ? ".middle" : ""}`,
      { title: clock(at) },
      `+${span(at - scale.from)}`,
    );
    mark.style.left = `${100 * part}%`;
    return mark;
  });
  const gaps = scale.gaps.map(([a, b]) => {
    const mark = h("span.gap", { title: `${span(b - a)} without work, shortened` }, "⋯");
    mark.style.left = `${100 * scale.place(a)}%`;
    mark.style.width = `${100 * (scale.place(b) - scale.place(a))}%`;
    return mark;
  });
  return [...gaps, ...marks];
}

const stepName = (step) =>
  step.node +
  (step.iteration > 1 ? ` · ${step.iteration}` : "") +
  (step.index === null ? "" : ` [${step.index}]`) +
  (step.undo ? " · undo" : "");

function row(step, choose) {
  return h("button.lane", { type: "button", onclick: () => choose(step) }, h("span.label"), h("span.track"));
}

function fillRow(element, step, scale) {
  const [label, track] = element.children;
  const took = step.end === null ? "" : span(step.end - step.start);
  element.setAttribute("aria-label", `${stepName(step)}, ${step.state}${took && `, ${took}`}`);
  put(label, icon(step.undo ? "compensated" : step.state), h("span", stepName(step)));
  const now = scale.to;
  const bars = [];
  step.attempts.forEach((attempt, at) => {
    bars.push(
      bar(
        attempt.start,
        attempt.end ?? now,
        step.waits ? `wait is-${attempt.state}` : `is-${attempt.state}`,
        scale,
        `attempt ${attempt.number}: ${attempt.state}, ${span((attempt.end ?? now) - attempt.start)}`,
      ),
    );
    const next = step.attempts[at + 1]?.start ?? (step.state === "retrying" ? Math.max(now, attempt.end ?? now) : null);
    if (next && attempt.end)
      bars.push(
        bar(
          attempt.end,
          next,
          "wait",
          scale,
          `${attempt.state === "interrupted" ? "cut off" : "waiting to retry"}, ${span(next - attempt.end)}`,
        ),
      );
  });
  const tail = h("span.took", took);
  tail.style.left = `${100 * scale.place(step.end ?? now)}%`;
  put(track, bars, tail);
}

function bar(from, to, kind, scale, title) {
  const element = h("span.bar", { title });
  element.classList.add(...kind.split(" "));
  const left = scale.place(from),
    width = scale.place(to) - left;
  element.style.left = `${100 * left}%`;
  element.style.width = `max(${100 * width}%, 3px)`;
  return element;
}

/** Let a drag over the axis choose a part of it. */
function brush(axis, chosen) {
  axis.addEventListener("pointerdown", (event) => {
    const { left, width } = axis.getBoundingClientRect();
    const at = (each) => Math.min(1, Math.max(0, (each.clientX - left) / width));
    const from = at(event),
      mark = h("span.brush");
    axis.append(mark);
    axis.setPointerCapture(event.pointerId);
    const drag = (next) => {
      mark.style.left = `${100 * Math.min(from, at(next))}%`;
      mark.style.width = `${100 * Math.abs(at(next) - from)}%`;
    };
    const stop = (last) => {
      axis.removeEventListener("pointermove", drag);
      mark.remove();
      const to = at(last);
      if (Math.abs(to - from) * width > 5) chosen(Math.min(from, to), Math.max(from, to));
    };
    axis.addEventListener("pointermove", drag);
    axis.addEventListener("pointerup", stop, { once: true });
    axis.addEventListener(
      "pointercancel",
      () => {
        axis.removeEventListener("pointermove", drag);
        mark.remove();
      },
      { once: true },
    );
  });
}
