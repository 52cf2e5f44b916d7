// What a run is, folded from its events: the state of each node, and one execution for each step of it. Pure.

import { outcome } from "./attempts.js";

/** Executions of one run that are kept; of larger runs only what happened last is drawn. */
const MOST = 4000;
const WAITS = new Set(["human_input", "signal", "timer"]);
const TERMINAL = new Set(["succeeded", "failed", "cancelled"]);

const fresh = () => ({
  state: "pending",
  iterations: 0,
  attempts: 0,
  total: null,
  done: 0,
  failed: 0,
  retryAt: null,
  attempt: 0,
  interrupted: 0,
  message: null,
  error: null,
  chosen: null,
});
const ms = (text) => (text === null || text === undefined ? null : typeof text === "number" ? text : Date.parse(text));

/** Begin with a document; then `apply` each event, or `seed` with the summary of a long run. */
export function create(document) {
  const nodes = new Map(document.nodes.map((node) => [node.name, { ...fresh(), name: node.name, kind: node.kind }]));
  return {
    nodes,
    steps: new Map(),
    seq: 0,
    state: "queued",
    cancelRequested: false,
    startedAt: null,
    finishedAt: null,
    tokens: 0,
    cost: 0,
    requests: new Map(),
    error: null,
    partial: false,
    touched: new Set(nodes.keys()),
  };
}

/** Take the state of every node from the run's summary: for runs too long to read from their beginning. */
export function seed(model, run) {
  for (const { node, state, attempts, iterations, items } of run.nodes)
    Object.assign(model.nodes.get(node) ?? {}, { state, attempts, iterations, ...items });
  for (const asked of run.waiting_for) if (asked.request_id) model.requests.set(asked.request_id, asked);
  Object.assign(model, {
    seq: run.last_seq,
    state: run.state,
    cancelRequested: run.cancel_requested,
    startedAt: ms(run.started_at),
    finishedAt: ms(run.finished_at),
    tokens: run.usage.tokens,
    cost: run.usage.cost_micro_usd,
    partial: true,
  });
}

/** Take steps from rows of the run's history: of runs too long to read from their beginning. */
export function remember(model, rows) {
  for (const row of rows) {
    const known = model.steps.get(stepKey(row));
    if (known?.attempts.some(({ number }) => number === row.attempt)) continue;
    const step = begin(model, row, ms(row.started_at), WAITS.has(row.kind));
    const state = outcome(row);
    if (row.finished_at !== null) {
      step.end = ms(row.finished_at);
      close(step, step.end, state);
    }
    Object.assign(step, { state: row.retry_at ? "retrying" : state, child: row.child_run_id });
  }
}

/** The name of a step: node, iteration, item, and whether it is being undone. */
const stepKey = (event) =>
  `${event.node}|${event.iteration ?? ""}|${event.index ?? ""}|${event.phase === "compensation" ? "c" : ""}`;

/** Take in one event, once; returns whether it was new. */
export function apply(model, type, event) {
  if (event.seq <= model.seq) return false;
  model.seq = event.seq;
  HANDLERS[type]?.(model, event, ms(event.at));
  if (event.tokens) model.tokens += event.tokens;
  if (event.cost_micro_usd) model.cost += event.cost_micro_usd;
  return true;
}

/** Failures that are shown as something else: nobody's fault, or somebody's wish. */
const FAILURES = { cancelled: "cancelled", interrupted: "interrupted" };

/** When an attempt was cut off: after so long as it is known to have run, else when it was found. */
function cutAt(model, event, at) {
  const begun = model.steps.get(stepKey(event))?.attempts.at(-1)?.start ?? at;
  return event.latency_ms ? Math.min(at, begun + event.latency_ms) : at;
}

const HANDLERS = {
  status_changed(model, event, at) {
    model.state = event.state;
    model.cancelRequested ||= event.cancel_requested === true;
    if (event.state !== "queued") model.startedAt ??= at;
    for (const name of event.reused ?? []) change(model, name, { state: "succeeded", reused: true });
    skip(model, event.skipped);
  },
  node_started(model, event, at) {
    const node = model.nodes.get(event.node);
    if (!node) return;
    const waits = WAITS.has(node.kind);
    const step = begin(model, event, at, waits);
    if (event.child_run_id) step.child = event.child_run_id;
    if (event.phase === "compensation") return change(model, event.node, { state: "running", undoing: true });
    if (event.items !== undefined && event.items !== null)
      return change(model, event.node, {
        state: "running",
        total: event.items,
        done: 0,
        failed: 0,
        iterations: iteration(node, event),
      });
    const alone = event.index === undefined || event.index === null;
    change(model, event.node, {
      state: waits ? "waiting" : "running",
      attempt: event.attempt,
      interrupted: event.attempt > 1 ? node.interrupted : 0,
      attempts: node.attempts + 1,
      retryAt: null,
      wakeAt: ms(event.wake_at ?? event.deadline),
      iterations: alone ? iteration(node, event) : node.iterations,
    });
  },
  node_completed(model, event, at) {
    const node = model.nodes.get(event.node);
    if (!node) return;
    end(model, event, at, "succeeded");
    if (event.phase === "compensation") change(model, event.node, { state: "compensated", undoing: false });
    else if (event.index !== undefined && event.index !== null) change(model, event.node, { done: node.done + 1 });
    else
      change(model, event.node, {
        state: event.on_timeout === "route" ? "skipped" : "succeeded",
        message: null,
        chosen: event.routes ?? null,
      });
    skip(model, event.skipped);
    for (const name of event.repeats ?? [])
      change(model, name, { state: "pending", total: null, done: 0, failed: 0, chosen: null, message: null });
    if (event.again === false) change(model, event.node, { again: false });
  },
  node_failed(model, event, at) {
    const node = model.nodes.get(event.node);
    if (!node) return;
    const cut = event.code === "interrupted";
    const step = end(model, event, cut ? cutAt(model, event, at) : at, FAILURES[event.code] ?? "failed");
    if (cut) node.interrupted += 1;
    const failure = { code: event.code, message: event.message, attempt: event.attempt, final: !event.will_retry };
    if (step)
      Object.assign(step, {
        error: failure,
        retryAt: event.will_retry ? ms(event.retry_at) : null,
        state: event.will_retry ? "retrying" : step.state,
      });
    const item = event.index !== undefined && event.index !== null;
    if (event.will_retry)
      change(model, event.node, {
        state: item ? node.state : "retrying",
        retryAt: ms(event.retry_at),
        message: event.message,
        error: failure,
      });
    else if (item)
      change(model, event.node, {
        done: node.done + 1,
        failed: node.failed + (event.code !== "cancelled"),
        error: failure,
        message: event.message,
      });
    else
      change(model, event.node, {
        state: event.code === "cancelled" ? "cancelled" : "failed",
        error: failure,
        message: event.message,
        retryAt: null,
      });
  },
  input_requested(model, event, at) {
    const node = model.nodes.get(event.node);
    if (!node) return;
    begin(model, { ...event, attempt: 1 }, at, true);
    model.requests.set(event.request_id, { ...event, since: event.at });
    change(model, event.node, {
      state: "waiting",
      attempts: node.attempts + 1,
      iterations: iteration(node, event),
      wakeAt: ms(event.deadline),
    });
  },
  input_resolved(model, event, at) {
    model.requests.delete(event.request_id);
    const answered = event.outcome === "answered" || event.on_timeout === "value";
    const state = answered
      ? "succeeded"
      : event.outcome === "withdrawn"
        ? "cancelled"
        : event.on_timeout === "route"
          ? "skipped"
          : "failed";
    end(model, { ...event, attempt: 1 }, at, state === "skipped" ? "failed" : state);
    change(model, event.node, { state, chosen: event.routes ?? null });
    skip(model, event.skipped);
  },
  completed: finish,
  failed: finish,
  cancelled: finish,
};

function finish(model, event, at) {
  model.finishedAt = at;
  model.error = event.error ?? null;
  for (const step of model.steps.values())
    if (step.end === null) {
      Object.assign(step, { end: at, state: "cancelled" });
      close(step, at, "cancelled");
    }
  for (const node of model.nodes.values()) {
    if (["running", "waiting", "retrying"].includes(node.state)) change(model, node.name, { state: "cancelled" });
  }
  for (const name of event.compensated ?? []) change(model, name, { state: "compensated" });
}

const iteration = (node, event) => Math.max(node.iterations, event.iteration ?? 1);

function change(model, name, what) {
  const node = model.nodes.get(name);
  if (!node) return;
  Object.assign(node, what);
  model.touched.add(name);
}

const skip = (model, names) => {
  for (const name of names ?? []) change(model, name, { state: "skipped" });
};

function begin(model, event, at, waits) {
  const key = stepKey(event);
  let step = model.steps.get(key);
  if (!step) {
    step = {
      key,
      node: event.node,
      iteration: event.iteration ?? null,
      index: event.index ?? null,
      undo: event.phase === "compensation",
      waits,
      start: at,
      end: null,
      state: "running",
      attempts: [],
      items: event.items ?? null,
    };
    model.steps.set(key, step);
    if (model.steps.size > MOST) {
      model.steps.delete(model.steps.keys().next().value);
      model.partial = true;
    }
  }
  Object.assign(step, { end: null, state: waits ? "waiting" : "running", retryAt: null });
  step.attempts.push({ number: event.attempt ?? 1, start: at, end: null, state: step.state });
  return step;
}

function end(model, event, at, state) {
  const step = model.steps.get(stepKey(event));
  if (!step) return null;
  Object.assign(step, { end: at, state });
  close(step, at, state);
  return step;
}

function close(step, at, state) {
  const last = step.attempts.at(-1);
  if (last && last.end === null) Object.assign(last, { end: at, state });
}

export const ended = (model) => TERMINAL.has(model.state);

/** The node that a person wants to see first: what failed, what is being asked, what is at work. */
export function telling(model) {
  const nodes = [...model.nodes.values()];
  const failed =
    model.error?.node ?? (model.state === "failed" ? nodes.find(({ state }) => state === "failed")?.name : null);
  if (failed) return failed;
  if (ended(model)) return null;
  for (const state of ["waiting", "retrying", "running"]) {
    const found = nodes.find((node) => node.state === state);
    if (found) return found.name;
  }
  return null;
}

/** How an edge stands: taken, not taken, or not yet known. */
export function edgeState(model, edge) {
  const source = model.nodes.get(edge.source),
    target = model.nodes.get(edge.target);
  if (!source || !target) return "idle";
  if (edge.kind === "loop") return source.iterations > 1 || target.iterations > 1 ? "taken" : "idle";
  if (source.state === "skipped" || target.state === "skipped") return "off";
  if (source.chosen && (edge.kind === "route" || edge.kind === "timeout"))
    return source.chosen.includes(edge.target) ? "taken" : "off";
  if (edge.kind === "timeout" && source.state === "succeeded") return "off";
  return ["succeeded", "compensated"].includes(source.state) && target.state !== "pending" ? "taken" : "idle";
}
