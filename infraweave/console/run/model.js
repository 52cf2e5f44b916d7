// A run as the page shows it, computed from its events: the state of each node, and the executions of its steps. Pure.
//
// A step is one execution of a node: for an iteration of a loop, for an item of a map, or for its compensation.

import { attemptState } from "./attempts.js";
import { isFinal } from "./states.js";

/** The most steps that are kept; of larger runs the timeline shows only the latest. */
const MAX_STEPS = 4000;
/** Kinds of nodes that wait and run no code. */
const WAITING_KINDS = new Set(["human_input", "signal", "timer"]);
/** States of nodes that have begun and not ended. */
const OPEN_STATES = ["waiting", "retrying", "running"];

const toMs = (time) => (time === null || time === undefined ? null : Date.parse(time));
const isItem = ({ index }) => index !== undefined && index !== null;
const isCompensation = ({ phase }) => phase === "compensation";

const newNode = ({ name, kind }) => ({
  name,
  kind,
  state: "pending",
  iterations: 0,
  attempts: 0,
  attempt: 0,
  interrupted: 0,
  retryAt: null,
  wakeAt: null,
  message: null,
  error: null,
  routes: null,
  compensating: false,
  reused: false,
  ...noItems(),
});

/** How far the items of a map are. */
const noItems = () => ({ total: null, done: 0, failed: 0 });

/** Make the model of a run that has not begun; `document` is its workflow. */
export function createModel(document) {
  const nodes = new Map(document.nodes.map((node) => [node.name, newNode(node)]));
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
    isPartial: false,
    changedNodes: new Set(nodes.keys()),
  };
}

/** Whether a run has ended. */
export const isEnded = (model) => isFinal(model.state);

// --- long runs -----------------------------------------------------------------------------------------------

/** Take the states of the nodes from the summary of a run that has too many events to be read from the first. */
export function loadSummary(model, run) {
  for (const { node, state, attempts, iterations, items } of run.nodes)
    Object.assign(model.nodes.get(node) ?? {}, { state, attempts, iterations, ...items });
  for (const request of run.waiting_for) if (request.request_id) model.requests.set(request.request_id, request);
  Object.assign(model, {
    seq: run.last_seq,
    state: run.state,
    cancelRequested: run.cancel_requested,
    startedAt: toMs(run.started_at),
    finishedAt: toMs(run.finished_at),
    tokens: run.usage.tokens,
    cost: run.usage.cost_micro_usd,
    isPartial: true,
  });
}

/** Add steps from rows of the run's history. */
export function loadHistory(model, rows) {
  for (const row of rows) {
    const known = model.steps.get(stepKey(row));
    if (known?.attempts.some(({ number }) => number === row.attempt)) continue;
    const step = startAttempt(model, row, toMs(row.started_at), WAITING_KINDS.has(row.kind));
    const state = attemptState(row);
    if (row.finished_at !== null) finishAttempt(step, toMs(row.finished_at), state);
    Object.assign(step, { state: row.retry_at ? "retrying" : state });
  }
}

// --- events --------------------------------------------------------------------------------------------------

/** Apply one event; an event that was applied before is ignored. Returns whether it was new. */
export function applyEvent(model, type, event) {
  if (event.seq <= model.seq) return false;
  model.seq = event.seq;
  HANDLERS[type]?.(model, event, toMs(event.at));
  if (event.tokens) model.tokens += event.tokens;
  if (event.cost_micro_usd) model.cost += event.cost_micro_usd;
  return true;
}

const HANDLERS = {
  status_changed: onStatusChanged,
  node_started: onNodeStarted,
  node_completed: onNodeCompleted,
  node_failed: onNodeFailed,
  input_requested: onInputRequested,
  input_resolved: onInputResolved,
  completed: onRunEnded,
  failed: onRunEnded,
  cancelled: onRunEnded,
};

function onStatusChanged(model, event, at) {
  model.state = event.state;
  model.cancelRequested ||= event.cancel_requested === true;
  if (event.state !== "queued") model.startedAt ??= at;
  for (const name of event.reused ?? []) updateNode(model, name, { state: "succeeded", reused: true });
  skipNodes(model, event.skipped);
}

function onNodeStarted(model, event, at) {
  const node = model.nodes.get(event.node);
  if (!node) return;
  const waits = WAITING_KINDS.has(node.kind);
  startAttempt(model, event, at, waits);
  if (isCompensation(event)) updateNode(model, node.name, { state: "running", compensating: true });
  else if (event.items !== undefined && event.items !== null)
    updateNode(model, node.name, {
      ...noItems(),
      state: "running",
      total: event.items,
      iterations: lastIteration(node, event),
    });
  else
    updateNode(model, node.name, {
      state: waits ? "waiting" : "running",
      attempt: event.attempt,
      interrupted: event.attempt > 1 ? node.interrupted : 0,
      attempts: node.attempts + 1,
      retryAt: null,
      wakeAt: toMs(event.wake_at ?? event.deadline),
      iterations: isItem(event) ? node.iterations : lastIteration(node, event),
    });
}

function onNodeCompleted(model, event, at) {
  const node = model.nodes.get(event.node);
  if (!node) return;
  finishStep(model, event, at, "succeeded");
  if (isCompensation(event)) updateNode(model, node.name, { state: "compensated", compensating: false });
  else if (isItem(event)) updateNode(model, node.name, { done: node.done + 1 });
  else
    updateNode(model, node.name, {
      state: event.on_timeout === "route" ? "skipped" : "succeeded",
      message: null,
      routes: event.routes ?? null,
    });
  skipNodes(model, event.skipped);
  for (const name of event.repeats ?? [])
    updateNode(model, name, { ...noItems(), state: "pending", routes: null, message: null });
}

function onNodeFailed(model, event, at) {
  const node = model.nodes.get(event.node);
  if (!node) return;
  finishFailedStep(model, event, at);
  if (event.code === "interrupted") node.interrupted += 1;
  const { message, code, attempt } = event;
  const failure = { message, error: { code, message, attempt } };
  if (event.will_retry)
    updateNode(model, node.name, {
      ...failure,
      state: isItem(event) ? node.state : "retrying",
      retryAt: toMs(event.retry_at),
    });
  else if (isItem(event))
    updateNode(model, node.name, {
      ...failure,
      done: node.done + 1,
      failed: node.failed + (code !== "cancelled"),
    });
  else updateNode(model, node.name, { ...failure, state: code === "cancelled" ? code : "failed", retryAt: null });
}

/** The end of a process and a cancellation end an attempt too, but they are not failures. */
function finishFailedStep(model, event, at) {
  const isShownAsIs = ["cancelled", "interrupted"].includes(event.code);
  const finishedAt = event.code === "interrupted" ? interruptedAt(model, event, at) : at;
  const step = finishStep(model, event, finishedAt, isShownAsIs ? event.code : "failed");
  if (step && event.will_retry) Object.assign(step, { state: "retrying" });
}

/** When an attempt was interrupted: after the time that it is known to have run, otherwise when it was found. */
function interruptedAt(model, event, at) {
  const startedAt = model.steps.get(stepKey(event))?.attempts.at(-1)?.start ?? at;
  return event.latency_ms ? Math.min(at, startedAt + event.latency_ms) : at;
}

function onInputRequested(model, event, at) {
  const node = model.nodes.get(event.node);
  if (!node) return;
  startAttempt(model, { ...event, attempt: 1 }, at, true);
  model.requests.set(event.request_id, { ...event, since: event.at });
  updateNode(model, node.name, {
    state: "waiting",
    attempts: node.attempts + 1,
    iterations: lastIteration(node, event),
    wakeAt: toMs(event.deadline),
  });
}

function onInputResolved(model, event, at) {
  model.requests.delete(event.request_id);
  const state = resolvedState(event);
  finishStep(model, { ...event, attempt: 1 }, at, state === "skipped" ? "failed" : state);
  updateNode(model, event.node, { state, routes: event.routes ?? null });
  skipNodes(model, event.skipped);
}

function resolvedState({ outcome, on_timeout: onTimeout }) {
  if (outcome === "answered" || onTimeout === "value") return "succeeded";
  if (outcome === "withdrawn") return "cancelled";
  return onTimeout === "route" ? "skipped" : "failed";
}

function onRunEnded(model, event, at) {
  model.finishedAt = at;
  model.error = event.error ?? null;
  for (const step of model.steps.values()) if (step.end === null) finishAttempt(step, at, "cancelled");
  for (const node of model.nodes.values())
    if (OPEN_STATES.includes(node.state)) updateNode(model, node.name, { state: "cancelled" });
  for (const name of event.compensated ?? []) updateNode(model, name, { state: "compensated" });
}

const lastIteration = (node, event) => Math.max(node.iterations, event.iteration ?? 1);

function updateNode(model, name, changes) {
  const node = model.nodes.get(name);
  if (!node) return;
  Object.assign(node, changes);
  model.changedNodes.add(name);
}

const skipNodes = (model, names) => {
  for (const name of names ?? []) updateNode(model, name, { state: "skipped" });
};

// --- steps ---------------------------------------------------------------------------------------------------

const stepKey = (event) =>
  `${event.node}|${event.iteration ?? ""}|${event.index ?? ""}|${isCompensation(event) ? "c" : ""}`;

/** Start an attempt of a step, and the step with its first attempt. */
function startAttempt(model, event, at, waits) {
  const key = stepKey(event);
  const step = model.steps.get(key) ?? addStep(model, key, event, at, waits);
  Object.assign(step, { end: null, state: waits ? "waiting" : "running" });
  step.attempts.push({ number: event.attempt ?? 1, start: at, end: null, state: step.state });
  return step;
}

function addStep(model, key, event, at, waits) {
  const step = {
    key,
    node: event.node,
    iteration: event.iteration ?? null,
    index: event.index ?? null,
    isCompensation: isCompensation(event),
    waits,
    start: at,
    attempts: [],
  };
  model.steps.set(key, step);
  if (model.steps.size > MAX_STEPS) {
    model.steps.delete(model.steps.keys().next().value);
    model.isPartial = true;
  }
  return step;
}

/** Finish the step of an event; returns it, or null when it is not kept. */
function finishStep(model, event, at, state) {
  const step = model.steps.get(stepKey(event));
  if (!step) return null;
  finishAttempt(step, at, state);
  return step;
}

function finishAttempt(step, at, state) {
  Object.assign(step, { end: at, state });
  const last = step.attempts.at(-1);
  if (last?.end === null) Object.assign(last, { end: at, state });
}

// --- what the page asks --------------------------------------------------------------------------------------

/** The node that people want to see first: the failed one, else one that waits, retries or runs. */
export function nodeToShow(model) {
  const nodes = [...model.nodes.values()];
  const firstIn = (state) => nodes.find((node) => node.state === state)?.name;
  const failed = model.error?.node ?? (model.state === "failed" ? firstIn("failed") : null);
  if (failed || isEnded(model)) return failed ?? null;
  for (const state of OPEN_STATES) if (firstIn(state)) return firstIn(state);
  return null;
}

/** How an edge is drawn: "taken", "off" when it was not taken, or "idle" while that is not known. */
export function edgeState(model, { source: sourceName, target: targetName, kind }) {
  const source = model.nodes.get(sourceName);
  const target = model.nodes.get(targetName);
  if (!source || !target) return "idle";
  if (kind === "loop") return source.iterations > 1 || target.iterations > 1 ? "taken" : "idle";
  if (source.state === "skipped" || target.state === "skipped") return "off";
  if (source.routes && (kind === "route" || kind === "timeout"))
    return source.routes.includes(targetName) ? "taken" : "off";
  if (kind === "timeout" && source.state === "succeeded") return "off";
  return ["succeeded", "compensated"].includes(source.state) && target.state !== "pending" ? "taken" : "idle";
}
