// The workflows: the active version of each, and how its runs of the last day went.

import { getJson } from "../lib/api.js";
import { h, setContent } from "../lib/dom.js";
import { formatCount, formatDuration, formatPercent, pluralize } from "../lib/format.js";
import { link } from "../lib/router.js";
import { isAllowed } from "../lib/session.js";
import { segment } from "../lib/url.js";
import { button, emptyState, tableHead } from "../lib/widgets.js";
import { openStartDialog } from "../run/start_dialog.js";

const NUMERIC_COLUMNS = ["Versions", "Runs, 24 h", "Success", "Median"];

export async function open(main) {
  const { workflows } = await getJson("/v1/workflows");
  const title = h("h1", "Workflows");
  if (!workflows.length) {
    const empty = emptyState(
      "No workflows yet",
      "Start infraweave serve with the files of workflows, or publish a definition document.",
    );
    setContent(main, h("header.page", title), empty);
    return;
  }
  const rows = workflows.map(makeRow);
  const head = tableHead(["Workflow", "Active version", ...NUMERIC_COLUMNS, ""], NUMERIC_COLUMNS, "Start");
  const body = h(
    "tbody",
    rows.map(({ element }) => element),
  );
  setContent(
    main,
    h("header.page", title, h("span.muted", pluralize(workflows.length, "workflow"))),
    h("div.scroll-x", h("table.list", head, body)),
  );
  await Promise.all(rows.map(({ loadStatistics }) => loadStatistics()));
}

/** Make the row of a workflow: {element, loadStatistics()}. */
function makeRow({ workflow_id: id, active_version: active, versions }) {
  const [runs, success, median] = [h("td.num", "…"), h("td.num", "…"), h("td.num", "…")];
  const element = h(
    "tr",
    h("th", { scope: "row" }, link(`workflows/${segment(id)}`, id)),
    h("td", active),
    h("td.num", formatCount(versions.length)),
    runs,
    success,
    median,
    h("td", isAllowed("execute", id) && button("Start", () => openStartDialog(id))),
  );
  const loadStatistics = async () => {
    const statistics = await getJson("/v1/statistics", { workflow_id: id });
    setContent(runs, link(`runs?workflow_id=${segment(id)}`, formatCount(statistics.runs.started)));
    setContent(success, formatPercent(statistics.success_rate));
    setContent(median, formatDuration(statistics.duration.p50_ms));
  };
  return { element, loadStatistics };
}
