// The inspector: one node of a run. Only what changed is rendered again, so a live run does not disturb someone who
// reads, selects or types.

import { getJson } from "../lib/api.js";
import { h, reconcile, setContent } from "../lib/dom.js";
import { formatCount } from "../lib/format.js";
import { reportError } from "../lib/notices.js";
import { segment } from "../lib/url.js";
import { iconButton, stateChip, tabs } from "../lib/widgets.js";
import { actionButton } from "./action_button.js";
import { executionTitle } from "./attempts.js";
import { inspectorTabs } from "./inspector_tabs.js";
import { openRerunDialog } from "./rerun_dialog.js";
import { section } from "./section.js";

/** The most rows of a node's history that are read at once. */
const MAX_ROWS = 200;
/** States of rows that have not ended. */
const OPEN_STATES = ["running", "waiting"];

/**
 * Make an inspector: {box, show(run, document, model, name), refresh(run, document, model), tick(), clear(),
 * openTab(id)}.
 *
 * onClose() is called to show the whole run again, onTab(id) when a tab is selected.
 */
export function createInspector(onClose, onTab) {
  let tab = "overview";
  let content = null;
  let requests = 0;
  /** What is shown: {name, run, model, node, state, rows, row, selectedSeq, events}; null while nothing is. */
  let view = null;

  const header = section(
    () => [view.name, view.state.state, view.run.finished_at],
    () => renderHeader(view, onClose),
  );
  const select = h("select", { id: "execution", onchange: () => selectExecution(Number(select.value)) });
  const limitNote = h("span.muted");
  const picker = h("div.picker", h("label", { for: "execution" }, "Execution"), select, limitNote);
  const tabBar = section(
    () => [view.name, inspectorTabs(view).map(([id]) => id)],
    () => tabs(inspectorTabs(view).map(tabWithContent), tab, selectTab),
  );
  const box = h("aside.inspector", { "aria-label": "Inspector" }, h("header", header.box), picker, tabBar.box);

  const tabWithContent = ([id, label, makeContent]) => [
    id,
    label,
    () => {
      content = makeContent(view);
      content.update();
      return content.box;
    },
  ];

  function selectTab(id) {
    tab = id;
    onTab(id);
  }

  function selectExecution(seq) {
    view.selectedSeq = seq;
    render();
  }

  function render() {
    view.row = rowToShow(view);
    header.update();
    renderPicker();
    tabBar.update();
    content.update();
  }

  /** List the executions, failures first. Options are kept, so the list stays open while someone selects. */
  function renderPicker() {
    const failed = view.rows.filter(({ state }) => state === "failed");
    const others = view.rows.filter(({ state }) => state !== "failed");
    picker.hidden = view.rows.length < 2;
    limitNote.textContent = view.hasMoreRows ? `of the first ${formatCount(MAX_ROWS)}, and failures` : "";
    reconcile(
      select,
      [...failed, ...others],
      (row) => row.first_seq,
      (row) => h("option", { value: row.first_seq }),
      (option, row) => setContent(option, executionTitle(row)),
    );
    select.value = String(view.row?.first_seq ?? "");
  }

  /** Show a node: first what the model knows, then what the history says. */
  async function show(run, document, model, name) {
    const request = ++requests;
    if (view?.name !== name) view = { name, rows: [], hasMoreRows: false, selectedSeq: null, events: null };
    const node = document.nodes.find((each) => each.name === name);
    Object.assign(view, { run, model, node, state: model.nodes.get(name) });
    render();
    try {
      const history = await readHistory(run, name);
      if (request !== requests) return;
      Object.assign(view, history);
      render();
    } catch (error) {
      if (request === requests) reportError(error);
    }
  }

  return {
    box,
    show,
    refresh: (run, document, model) => view && show(run, document, model, view.name),
    /** Show what new events say, before the history is read again. */
    tick() {
      if (!view || content.readsEvents) return;
      header.update();
      content.update();
    },
    clear() {
      view = null;
      requests += 1;
    },
    openTab(id) {
      tab = id;
    },
  };
}

/** Read the rows of a node: the first ones, the failures and the open ones. */
async function readHistory(run, name) {
  const path = `/v1/runs/${segment(run.run_id)}/history`;
  const read = (state) => getJson(path, { node: name, state, limit: MAX_ROWS });
  const { history: first, next_cursor: cursor } = await read();
  const hasMoreRows = Boolean(cursor);
  const states = hasMoreRows ? ["failed", ...(run.finished_at ? [] : OPEN_STATES)] : [];
  const pages = await Promise.all(states.map(read));
  const rows = new Map([first, ...pages.map(({ history }) => history)].flat().map((row) => [row.first_seq, row]));
  return { rows: [...rows.values()].sort((a, b) => a.first_seq - b.first_seq), hasMoreRows };
}

/** The selected row; by default a final failure, otherwise the latest one. */
function rowToShow({ rows, selectedSeq }) {
  const forward = rows.filter(({ phase }) => phase === "forward");
  const lastOfStep = new Map(forward.map((row) => [`${row.iteration}|${row.index}`, row]));
  const isLast = (row) => row === lastOfStep.get(`${row.iteration}|${row.index}`);
  return (
    rows.find((row) => row.first_seq === selectedSeq) ??
    forward.find((row) => row.state === "failed" && isLast(row) && !row.retry_at) ??
    forward.findLast((row) => row.index === null) ??
    forward.at(-1) ??
    rows.at(-1) ??
    null
  );
}

const renderHeader = ({ name, state, run }, onClose) => [
  h("h2", name),
  stateChip(state.state),
  h("div.spacer"),
  actionButton(
    "Rerun from here",
    "execute",
    () => run,
    (current) => openRerunDialog(current, name),
    run.finished_at === null ? "Only a run that has ended can be rerun." : null,
  ),
  iconButton("close", "Show the run", onClose),
];
