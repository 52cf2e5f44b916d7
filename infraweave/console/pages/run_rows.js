// The rows of the list of runs.

import { h, setContent } from "../lib/dom.js";
import { formatCompact, formatDollars, formatDuration, shortId } from "../lib/format.js";
import { link, navigate } from "../lib/router.js";
import { setAsideTag, stateChip, timeElement } from "../lib/widgets.js";
import { isFinal } from "../run/states.js";

const COLUMNS = ["State", "Run", "Workflow", "Trigger", "Created", "Duration", "Cost"];

/** Make the table of runs; `rows` is the element that holds its rows. */
export function runTable(rows) {
  const names = [h("span.visually-hidden", "Select"), ...COLUMNS];
  const head = names.map((name) => h("span", { role: "columnheader" }, name));
  return h("div.runs", { role: "table", "aria-label": "Runs" }, h("div.run-row.head", { role: "row" }, head), rows);
}

/** Make an empty row; `updateRow` fills it. onCheck(checked) is called when its checkbox changes. */
export function makeRow(run, onCheck) {
  const checkbox = h("input", {
    type: "checkbox",
    "aria-label": `Select ${run.run_id}`,
    onchange: () => onCheck(checkbox.checked),
  });
  const onclick = (event) => {
    if (!event.target.closest("a,input,button")) navigate(`runs/${run.run_id}`);
  };
  const cells = COLUMNS.map(() => h("span", { role: "cell" }));
  return h("div.run-row", { role: "row", onclick }, h("span", { role: "cell" }, checkbox), cells);
}

/** Show a run in its row; its cells are rendered again only when the run has changed. */
export function updateRow(row, run, { isCurrent, isChecked }) {
  row.classList.toggle("selected", isCurrent);
  row.querySelector("input").checked = isChecked;
  const version = [run.state, run.last_seq, run.cancel_requested, run.set_aside].join("|");
  if (row.dataset.version === version) return;
  row.dataset.version = version;
  const cells = [...row.children].slice(1);
  const contents = renderCells(run);
  for (const [index, cell] of cells.entries()) setContent(cell, contents[index]);
}

/** Show how long an open run has been going. */
export function updateDuration(row, run) {
  if (run.started_at && !run.finished_at) setContent(row.children[1 + COLUMNS.indexOf("Duration")], durationOf(run));
}

function durationOf({ started_at: startedAt, finished_at: finishedAt }) {
  if (!startedAt) return "–";
  return formatDuration((finishedAt ? Date.parse(finishedAt) : Date.now()) - Date.parse(startedAt));
}

const renderCells = (run) => [
  stateChip(run.state, run.cancel_requested && !isFinal(run.state) ? "…" : ""),
  link(`runs/${run.run_id}`, shortId(run.run_id)),
  [
    h("b", run.workflow_id),
    " ",
    h("span.muted", run.workflow_version),
    run.set_aside && setAsideTag(),
    Object.entries(run.tags).map(([key, value]) => h("span.tag", `${key}:${value}`)),
    run.error && h("span.run-error", run.error.message),
  ],
  run.trigger,
  timeElement(run.created_at),
  durationOf(run),
  [
    run.usage.cost_micro_usd > 0 && formatDollars(run.usage.cost_micro_usd),
    run.usage.tokens > 0 && h("span.muted", ` ${formatCompact(run.usage.tokens)} tok`),
  ],
];
