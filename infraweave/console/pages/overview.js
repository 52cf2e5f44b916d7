// The overview: how runs went over some time, of one workflow or all.

import { getJson } from "../lib/api.js";
import { h, setContent, svg } from "../lib/dom.js";
import {
  formatBytes,
  formatCompact,
  formatCount,
  formatDateTime,
  formatDollars,
  formatDuration,
  formatPercent,
} from "../lib/format.js";
import { reportError } from "../lib/notices.js";
import { link, setQuery } from "../lib/router.js";
import { isAllowed } from "../lib/session.js";
import { dropdown, stateChip, tableHead, timeElement } from "../lib/widgets.js";

const PERIODS = [
  ["24", "24 hours"],
  ["168", "7 days"],
  ["720", "30 days"],
];
const REFRESH_MS = 15_000;
const CHART_STATES = ["succeeded", "failed", "cancelled"];
const CHART_WIDTH = 720;
const CHART_HEIGHT = 120;
/** Free space above the highest bar. */
const CHART_MARGIN = 4;

export async function open(main, parameters) {
  const query = { workflow_id: parameters.get("workflow_id") ?? "", hours: parameters.get("hours") ?? "24" };
  let isClosed = false;
  const { workflows } = await getJson("/v1/workflows");
  const body = h("div.overview");
  const choice = (label, name, options) => {
    const onchange = (event) => {
      query[name] = event.target.value;
      setQuery(query);
      load().catch(reportError);
    };
    return dropdown({ "aria-label": label, onchange }, options, query[name]);
  };
  const ids = workflows.map(({ workflow_id: id }) => [id, id]);
  const workflow = choice("Workflow", "workflow_id", [["", "All workflows"], ...ids]);
  const period = choice("Time", "hours", PERIODS);
  setContent(main, h("header.page", h("h1", "Overview"), h("div.spacer"), workflow, period), body);

  async function load() {
    const { workflow_id: id, hours } = query;
    const since = new Date(Date.now() - Number(hours) * 3_600_000).toISOString();
    const [statistics, status] = await Promise.all([
      getJson("/v1/statistics", { workflow_id: id, since }),
      isAllowed("operate") ? getJson("/v1/status") : null,
    ]);
    if (isClosed || id !== query.workflow_id || hours !== query.hours) return;
    setContent(
      body,
      renderFigures(statistics, status),
      h("section", h("h2", "Runs per hour"), renderChart(statistics.hours)),
      h("section", h("h2", "Errors"), renderErrors(statistics)),
      h("section", h("h2", "Nodes"), renderNodes(statistics, id)),
    );
  }
  await load();
  const timer = setInterval(() => {
    if (!document.hidden) load().catch(() => {}); // the next refresh tries again
  }, REFRESH_MS);
  return () => {
    isClosed = true;
    clearInterval(timer);
  };
}

// --- figures -------------------------------------------------------------------------------------------------

const figure = (label, value, details) =>
  h("div.figure", h("span.muted", label), h("b", value), details && h("small.muted", details));

const renderFigures = ({ runs, success_rate: successRate, duration, usage }, status) =>
  h(
    "div.figures",
    figure("Runs started", formatCount(runs.started), stateCounts(runs)),
    figure("Success", formatPercent(successRate)),
    figure("Duration", formatDuration(duration.p50_ms), `median; 95 % within ${formatDuration(duration.p95_ms)}`),
    figure(
      "Cost per run",
      formatDollars(usage.per_run_cost_micro_usd ?? 0),
      `${formatDollars(usage.cost_micro_usd)} in total, ${formatCompact(usage.tokens)} tokens`,
    ),
    status && renderServerFigures(status),
  );

const renderServerFigures = ({ slots, queued, waiting, database_bytes: size, version, uptime_s: uptime }) => [
  figure(
    "Slots",
    `${formatCount(slots.taken)} / ${formatCount(slots.total)}`,
    `${formatCount(queued)} queued, ${formatCount(waiting)} waiting`,
  ),
  figure(
    "Database",
    size === null ? "–" : formatBytes(size),
    `InfraWeave ${version}, up ${formatDuration(uptime * 1000)}`,
  ),
];

const stateCounts = (counts) => CHART_STATES.map((state) => `${formatCount(counts[state])} ${state}`).join(", ");

// --- chart ---------------------------------------------------------------------------------------------------

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

/** Bars of the runs that ended in each hour. Hover shows the numbers of an hour; screen readers get the totals. */
function renderChart(hours) {
  const ended = (hour) => sum(CHART_STATES.map((state) => hour[state]));
  const most = Math.max(1, ...hours.flatMap((hour) => [hour.started, ended(hour)]));
  const step = CHART_WIDTH / Math.max(hours.length, 1);
  const totals = Object.fromEntries(CHART_STATES.map((state) => [state, sum(hours.map((hour) => hour[state]))]));
  const attributes = {
    viewBox: `0 0 ${CHART_WIDTH} ${CHART_HEIGHT}`,
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": `Runs per hour: ${stateCounts(totals)}`,
  };
  const legend = CHART_STATES.map((state) => stateChip(state));
  const from = hours.length ? formatDateTime(hours[0].hour) : "";
  return [
    h("div.legend", legend, h("div.spacer"), h("span.muted", `at most ${formatCount(most)} an hour`)),
    svg(
      "svg.chart",
      attributes,
      hours.map((hour, index) => hourBars(hour, index * step, step, most)),
    ),
    h("div.chart-axis.muted", h("span", from), h("div.spacer"), h("span", "now")),
  ];
}

/** The stacked bars of one hour, and an invisible one over the whole height for its numbers. */
function hourBars(hour, x, step, most) {
  let y = CHART_HEIGHT;
  const bars = CHART_STATES.filter((state) => hour[state]).map((state) => {
    const height = (hour[state] / most) * (CHART_HEIGHT - CHART_MARGIN);
    y -= height;
    return svg(`rect.is-${state}`, { x: x + step * 0.1, y, width: Math.max(step * 0.8, 0.5), height });
  });
  const text = `${formatDateTime(hour.hour)}: ${formatCount(hour.started)} started, ${stateCounts(hour)}`;
  return [...bars, svg("rect.hit", { x, y: 0, width: step, height: CHART_HEIGHT }, svg("title", text))];
}

// --- tables --------------------------------------------------------------------------------------------------

const NUMERIC_COLUMNS = ["Count", "Executions", "Failures", "Retries", "Median", "95 %"];
const table = (names, rows) => h("div.scroll-x", h("table.list", tableHead(names, NUMERIC_COLUMNS), h("tbody", rows)));

function renderErrors({ errors }) {
  if (!errors.length) return h("p.muted", "There were no errors in this time.");
  const rows = errors.map((error) =>
    h(
      "tr",
      h("td", h("code", error.code)),
      h("td", error.node ?? "–"),
      h("td", error.final ? "ended a run" : error.tolerated ? "tolerated" : "retried"),
      h("td.num", formatCount(error.count)),
      h("td", link(`runs/${error.last_run_id}`, timeElement(error.last_at))),
    ),
  );
  return table(["Code", "Node", "Kind", "Count", "Last"], rows);
}

function renderNodes({ nodes, sampled_runs: sampled }, workflowId) {
  if (!nodes.length) return h("p.muted", "No node has run in this time.");
  const rows = nodes.map((node) =>
    h(
      "tr",
      !workflowId && h("td", node.workflow_id),
      h("td", node.node),
      h("td.num", formatCount(node.executions)),
      h("td.num", formatCount(node.failures)),
      h("td.num", formatCount(node.retries)),
      h("td.num", formatDuration(node.p50_ms)),
      h("td.num", formatDuration(node.p95_ms)),
    ),
  );
  const columns = ["Node", "Executions", "Failures", "Retries", "Median", "95 %"];
  return [
    table(workflowId ? columns : ["Workflow", ...columns], rows),
    h("p.muted", `From the newest ${formatCount(sampled)} runs that ended, slowest first.`),
  ];
}
