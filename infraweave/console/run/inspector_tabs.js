// The tabs of the inspector. Each is made from the inspector's view and has a box and update().

import { h } from "../lib/dom.js";
import { formatCount, formatDateTime, formatDollars, formatDuration, pluralize } from "../lib/format.js";
import { jsonView } from "../lib/json_view.js";
import { link } from "../lib/router.js";
import { copyButton, definitionRow, stateChip, tableHead, timeElement } from "../lib/widgets.js";
import { attemptState, describeAttempt, executionTitle, isInterrupted } from "./attempts.js";
import { eventsTab } from "./events_tab.js";
import { showInputRequests } from "./input_requests.js";
import { section } from "./section.js";

/** The most executions that the overview and the trace list. */
const MAX_EXECUTIONS = 60;
const MAX_SPANS = 100;
/** The order of executions of a map; other states come last. */
const ORDER = ["running", "waiting", "failed"];

/** Return [id, label, makeContent(view)] for each tab of a node. */
export const inspectorTabs = ({ row, state }) => [
  ["overview", "Overview", overviewTab],
  ["input", "Input", (view) => valueTab(view, "input", inputOf, "The node has not started.")],
  ["output", "Output", (view) => valueTab(view, "output", ({ row: { output } }) => output, "There is no output yet.")],
  ["trace", "Trace", traceTab],
  ...(row?.error || state.error ? [["error", "Error", errorTab]] : []),
  ["events", "Events", eventsTab],
];

const note = (text) => h("p.muted", text);

const valueTab = (view, what, getValue, placeholder) =>
  section(
    () => (view.row ? [view.row.first_seq, getValue(view)] : null),
    () => (view.row ? jsonView(getValue(view), what) : note(placeholder)),
  );

/** The input of an attempt. An item of a map also gets the input that all items share. */
function inputOf({ row, rows }) {
  if (row.index === null || row.phase !== "forward") return row.input;
  const isMap = (each) => each.index === null && each.iteration === row.iteration && each.phase === "forward";
  const shared = rows.find(isMap)?.input;
  return shared ? { ...shared, ...row.input } : row.input;
}

// --- overview ------------------------------------------------------------------------------------------------

function overviewTab(view) {
  const requests = h("div.part");
  const facts = section(
    () => [
      view.row?.first_seq,
      view.row?.state,
      view.row && describeAttempt(view.row, view.rows, view.node),
      view.state,
    ],
    () => h("dl", renderFacts(view)),
  );
  const executions = section(
    () => [view.rows.map((row) => [row.first_seq, attemptState(row), row.latency_ms]), view.row?.first_seq],
    () => renderExecutions(view),
  );
  return {
    box: h("div.part", requests, facts.box, executions.box),
    update() {
      const open = [...view.model.requests.values()].filter(({ node }) => node === view.name);
      showInputRequests(requests, view.run, open);
      facts.update();
      executions.update();
    },
  };
}

const renderFacts = ({ row, rows, node, state }) => [
  row && [
    definitionRow("Status", stateChip(attemptState(row))),
    definitionRow("Started", [formatDateTime(row.started_at), " ", timeElement(row.started_at)]),
    definitionRow(isInterrupted(row) ? "Interrupted after" : "Duration", durationText(row)),
    definitionRow("Attempt", describeAttempt(row, rows, node)),
  ],
  row?.child_run_id && definitionRow("Child run", link(`runs/${row.child_run_id}`, row.child_run_id)),
  row?.tokens > 0 && definitionRow("Tokens", formatCount(row.tokens)),
  row?.cost_micro_usd > 0 && definitionRow("Cost", formatDollars(row.cost_micro_usd)),
  definitionRow("Kind", node.kind.replace("_", " ")),
  node.timeout && definitionRow("Timeout", formatDuration(node.timeout * 1000)),
  state.wakeAt &&
    state.state === "waiting" &&
    definitionRow("Until", [formatDateTime(state.wakeAt), " ", timeElement(state.wakeAt)]),
  state.total !== null && definitionRow("Items", itemsText(state)),
];

const itemsText = ({ done, total, failed }) =>
  `${formatCount(done)} of ${formatCount(total)}${failed ? `, ${formatCount(failed)} failed` : ""}`;

/** The rows as a table; of a map, open and failed items come first. */
function renderExecutions({ rows, row, node }) {
  if (rows.length < 2) return null;
  const rank = ({ state }) => (ORDER.indexOf(state) + ORDER.length + 1) % (ORDER.length + 1);
  const ordered = node.kind === "map" ? rows.toSorted((a, b) => rank(a) - rank(b)) : rows;
  const execution = (each) =>
    h(
      "tr",
      { "aria-current": each === row ? "true" : null },
      h("td", executionTitle(each, false)),
      h("td", stateChip(attemptState(each))),
      h("td.num", durationText(each)),
    );
  const body = h("tbody", ordered.slice(0, MAX_EXECUTIONS).map(execution));
  return [
    h("table.executions", tableHead(["Execution", "Outcome", "Duration"], ["Duration"]), body),
    rows.length > MAX_EXECUTIONS && note(`and ${pluralize(rows.length - MAX_EXECUTIONS, "more row")}`),
  ];
}

/** The duration of an attempt. When an interrupted one stopped is not known exactly, only when it was found. */
function durationText(row) {
  if (row.latency_ms || !isInterrupted(row)) return formatDuration(row.latency_ms);
  return `at most ${formatDuration(Date.parse(row.finished_at) - Date.parse(row.started_at))}`;
}

// --- trace and error -----------------------------------------------------------------------------------------

const traceTab = (view) =>
  section(
    () => view.rows.map((row) => [row.first_seq, attemptState(row), row.finished_at]),
    () => (view.rows.length ? renderTrace(view) : note("The node has not started.")),
  );

const startOf = (row) => Date.parse(row.started_at);
const endOf = (row) => (row.finished_at ? Date.parse(row.finished_at) : Date.now());

function renderTrace({ run, rows }) {
  const from = Math.min(...rows.map(startOf));
  const whole = Math.max(...rows.map(endOf), from + 1) - from;
  const bar = (row) => {
    const element = h(`span.bar.is-${attemptState(row)}`);
    element.style.left = `${(100 * (startOf(row) - from)) / whole}%`;
    element.style.width = `max(2px, ${(100 * (endOf(row) - startOf(row))) / whole}%)`;
    return element;
  };
  const traceSpan = (row) =>
    h(
      "li",
      h("div", executionTitle(row, false), " ", h("code.muted", row.span_id)),
      h("div.track", bar(row)),
      h("div.num", durationText(row)),
    );
  return [
    h("p.muted", "Trace ", h("code", run.trace_id), copyButton(run.trace_id, "trace id")),
    h("ol.spans", rows.slice(0, MAX_SPANS).map(traceSpan)),
  ];
}

const errorTab = (view) =>
  section(
    () => [view.row?.first_seq, view.row?.error ?? view.state.error, view.state.state, view.state.retryAt],
    () => renderError(view),
  );

function renderError({ row, rows, state, node }) {
  const error = row?.error ?? state.error;
  const attempt = row?.error ? describeAttempt(row, rows, node) : String(error.attempt ?? "–");
  const retryAt = state.state === "retrying" ? state.retryAt : null;
  return [
    h(
      "dl",
      definitionRow("Code", h("code", error.code)),
      definitionRow("Attempt", attempt),
      retryAt && definitionRow("Next attempt", [timeElement(retryAt), " at ", formatDateTime(retryAt)]),
    ),
    copyable("message", error.message),
    error.traceback && [h("h3", "Traceback"), copyable("traceback", error.traceback)],
  ];
}

const copyable = (what, text) => [h(`pre.${what}`, text), h("div", copyButton(text, what))];
