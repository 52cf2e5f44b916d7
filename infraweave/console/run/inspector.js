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

/** An inspector in `box`. onClose() is called to show the whole run again, onTab(id) when a tab is selected. */
export class Inspector {
  /** What is shown: {name, run, model, node, state, rows, row, selectedSeq, events}; null while nothing is. */
  #view = null;
  #tab = "overview";
  #content = null;
  /** Counts the reads of the history: a response to an earlier one is ignored. */
  #reads = 0;

  constructor(onClose, onTab) {
    this.onTab = onTab;
    this.header = section(
      () => [this.#view.name, this.#view.state.state, this.#view.run.finished_at],
      () => renderHeader(this.#view, onClose),
    );
    this.tabBar = section(
      () => [this.#view.name, inspectorTabs(this.#view).map(([id]) => id)],
      () => this.#renderTabs(),
    );
    this.select = h("select", { id: "execution", onchange: () => this.#selectExecution() });
    this.limitNote = h("span.muted");
    this.picker = h("div.picker", h("label", { for: "execution" }, "Execution"), this.select, this.limitNote);
    const header = h("header", this.header.box);
    this.box = h("aside.inspector", { "aria-label": "Inspector" }, header, this.picker, this.tabBar.box);
  }

  /** Show a node: first what the model knows, then what the history says. */
  async show(run, document, model, name) {
    const read = ++this.#reads;
    if (this.#view?.name !== name) this.#view = { name, rows: [], hasMoreRows: false, selectedSeq: null, events: null };
    const node = document.nodes.find((each) => each.name === name);
    Object.assign(this.#view, { run, model, node, state: model.nodes.get(name) });
    this.#render();
    try {
      const history = await readHistory(run, name);
      if (read !== this.#reads) return;
      Object.assign(this.#view, history);
      this.#render();
    } catch (error) {
      if (read === this.#reads) reportError(error);
    }
  }

  /** Show the same node of a run that was read again. */
  refresh(run, document, model) {
    if (this.#view) this.show(run, document, model, this.#view.name);
  }

  /** Show what new events say, before the history is read again. */
  tick() {
    if (!this.#view || this.#content.readsEvents) return;
    this.header.update();
    this.#content.update();
  }

  clear() {
    this.#view = null;
    this.#reads += 1;
  }

  /** Select the tab that is shown next. */
  openTab(id) {
    this.#tab = id;
  }

  #render() {
    this.#view.row = rowToShow(this.#view);
    this.header.update();
    this.#renderPicker();
    this.tabBar.update();
    this.#content.update();
  }

  #renderTabs() {
    const contents = inspectorTabs(this.#view).map(([id, label, makeContent]) => [
      id,
      label,
      () => this.#renderContent(makeContent),
    ]);
    return tabs(contents, this.#tab, (id) => {
      this.#tab = id;
      this.onTab(id);
    });
  }

  #renderContent(makeContent) {
    this.#content = makeContent(this.#view);
    this.#content.update();
    return this.#content.box;
  }

  /** List the executions, failures first. Options are kept, so the list stays open while someone selects. */
  #renderPicker() {
    const { rows, row, hasMoreRows } = this.#view;
    const failed = rows.filter(({ state }) => state === "failed");
    const others = rows.filter(({ state }) => state !== "failed");
    this.picker.hidden = rows.length < 2;
    this.limitNote.textContent = hasMoreRows ? `of the first ${formatCount(MAX_ROWS)}, and failures` : "";
    reconcile(
      this.select,
      [...failed, ...others],
      (each) => each.first_seq,
      (each) => h("option", { value: each.first_seq }),
      (option, each) => setContent(option, executionTitle(each)),
    );
    this.select.value = String(row?.first_seq ?? "");
  }

  #selectExecution() {
    this.#view.selectedSeq = Number(this.select.value);
    this.#render();
  }
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
