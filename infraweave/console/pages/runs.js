// The list of runs: live, newest first, filtered by the page's address.

import { getJson, isExpected } from "../lib/api.js";
import { updateApprovalBadge } from "../lib/approval_badge.js";
import { h, reconcile, setContent, throttle } from "../lib/dom.js";
import { followLive, liveIndicator } from "../lib/live.js";
import { reportError } from "../lib/notices.js";
import { navigate, setQuery } from "../lib/router.js";
import { button, emptyState } from "../lib/widgets.js";
import { openStartDialog } from "../run/start_dialog.js";
import { createBulkBar } from "./bulk_actions.js";
import { createFilterBar, hasFilters, matchesFilters, readFilters } from "./run_filters.js";
import { makeRow, runTable, updateDuration, updateRow } from "./run_rows.js";

/** Runs of one request for more, and the most that one request can have. */
const PAGE_SIZE = 100;
const MAX_PAGE_SIZE = 200;
/** How far above the end of the list, in pixels, the next page is loaded. */
const PRELOAD_DISTANCE = 600;

export async function open(main, parameters) {
  const page = new RunsPage(readFilters(parameters));
  page.render(main);
  await page.load();
  return main.isConnected ? page.open() : null;
}

class RunsPage {
  runs = [];
  cursor = null;
  checked = new Set();
  /** The id of the run that the keyboard is at. */
  current = null;
  isClosed = false;
  /** Counts the reloads: a response to an earlier one is ignored. */
  loads = 0;

  constructor(filters) {
    this.filters = filters;
    this.live = liveIndicator();
    this.rows = h("div.run-rows", { role: "rowgroup" });
    this.foot = h("div.foot");
    this.filterBar = createFilterBar(
      () => this.filters,
      (changes) => this.#setFilters(changes),
    );
    this.bulkBar = createBulkBar(
      () => {
        this.#clearChecked();
        this.#reload();
      },
      () => this.#clearChecked(),
    );
  }

  render(main) {
    const onStart = () => openStartDialog(this.filters.workflow_id);
    const start = button("Start a run", onStart, { kind: "primary", iconName: "plus" });
    const header = h("header.page", h("h1", "Runs"), this.live, h("div.spacer"), start);
    setContent(main, header, this.filterBar.box, this.bulkBar.box, runTable(this.rows), this.foot);
  }

  /** Follow changes and the keyboard; returns the function that closes the page. */
  open() {
    followLive(this.live, "/v1/runs/changes", {
      open: (isReconnect) => isReconnect && this.#reload(),
      event: (type, run) => (type === "run_changed" ? this.#onRunChanged(run) : this.#reload()),
    });
    const onKey = (event) => this.#onKey(event);
    const onVisible = () => !document.hidden && this.#reload();
    document.addEventListener("keydown", onKey);
    document.addEventListener("visibilitychange", onVisible);
    const timer = setInterval(() => this.#updateDurations(), 1000);
    const scrolling = new IntersectionObserver(([entry]) => entry.isIntersecting && this.#loadMore(), {
      rootMargin: `${PRELOAD_DISTANCE}px`,
    });
    scrolling.observe(this.foot);
    return () => {
      this.isClosed = true;
      clearInterval(timer);
      scrolling.disconnect();
      document.removeEventListener("keydown", onKey);
      document.removeEventListener("visibilitychange", onVisible);
    };
  }

  // --- loading -----------------------------------------------------------------------------------------------

  #setFilters(changes) {
    Object.assign(this.filters, changes);
    setQuery(this.filters);
    this.checked.clear();
    this.load();
  }

  /** Load the list again, with at least `count` runs, so that someone who has scrolled down stays there. */
  async load(count = PAGE_SIZE) {
    const load = ++this.loads;
    const isOutdated = () => load !== this.loads || this.isClosed;
    try {
      const [{ runs, cursor }] = await Promise.all([this.#readRuns(count, isOutdated), this.#loadCounts()]);
      if (isOutdated()) return;
      Object.assign(this, { runs, cursor });
      this.#renderRows();
    } catch (error) {
      if (isOutdated()) return;
      setContent(this.foot, h("p.fault", { role: "alert" }, error.message));
      if (!isExpected(error)) throw error;
    }
  }

  async #readRuns(count, isOutdated) {
    let runs = [];
    let cursor = null;
    do {
      const limit = Math.min(MAX_PAGE_SIZE, Math.max(count - runs.length, PAGE_SIZE));
      const page = await getJson("/v1/runs", { ...this.filters, limit, cursor });
      runs = runs.concat(page.runs);
      cursor = page.next_cursor;
    } while (cursor && runs.length < count && !isOutdated());
    return { runs, cursor };
  }

  async #loadCounts() {
    const { status, ...others } = this.filters;
    const { counts } = await getJson("/v1/runs/counts", others);
    this.filterBar.showCounts(counts);
  }

  async #loadMore() {
    if (!this.cursor) return;
    const { loads, cursor } = this;
    this.cursor = null;
    try {
      const page = await getJson("/v1/runs", { ...this.filters, limit: PAGE_SIZE, cursor });
      if (loads !== this.loads) return;
      const known = new Set(this.runs.map((run) => run.run_id));
      this.runs.push(...page.runs.filter((run) => !known.has(run.run_id)));
      this.cursor = page.next_cursor;
      this.#renderRows();
    } catch (error) {
      this.cursor = cursor;
      reportError(error);
    }
  }

  // --- changes -----------------------------------------------------------------------------------------------

  /** Update a run in place, or insert it by its id when it is new and passes the filters. */
  #onRunChanged(run) {
    const { runs } = this;
    const at = runs.findIndex((each) => each.run_id === run.run_id);
    const matches = matchesFilters(run, this.filters);
    if (at >= 0) runs.splice(at, 1, ...(matches ? [run] : []));
    else if (matches && (!runs.length || run.run_id > runs.at(-1).run_id)) {
      const next = runs.findIndex((each) => each.run_id < run.run_id);
      runs.splice(Math.max(next, 0), 0, run);
    }
    this.#renderSoon();
    this.#countSoon();
  }

  #renderSoon = throttle(150, () => {
    if (!this.isClosed) this.#renderRows();
  });

  #countSoon = throttle(1500, () => {
    if (this.isClosed) return;
    this.#loadCounts().catch(reportError);
    updateApprovalBadge();
  });

  #reload = throttle(2000, () => {
    if (!this.isClosed) this.load(this.runs.length);
  });

  // --- rendering ---------------------------------------------------------------------------------------------

  #renderRows() {
    reconcile(
      this.rows,
      this.runs,
      (run) => run.run_id,
      (run) => makeRow(run, (isChecked) => this.#setChecked(run.run_id, isChecked)),
      (row, run) =>
        updateRow(row, run, {
          isCurrent: run.run_id === this.current,
          isChecked: this.checked.has(run.run_id),
        }),
    );
    setContent(
      this.foot,
      !this.runs.length && this.#renderEmpty(),
      this.cursor && button("Load more", () => this.#loadMore()),
    );
    this.#renderBulkBar();
    const isNearEnd = this.foot.getBoundingClientRect().top < innerHeight + PRELOAD_DISTANCE;
    if (this.cursor && isNearEnd) this.#loadMore();
  }

  #renderEmpty() {
    if (hasFilters(this.filters)) {
      const clear = button("Clear the filters", () => navigate("runs"));
      return emptyState("No run matches", "Remove a filter to see more runs.", clear);
    }
    const start = button("Start a run", () => openStartDialog(), { kind: "primary" });
    return emptyState("No runs yet", "Start one here, or through the API.", start);
  }

  #renderBulkBar() {
    this.bulkBar.show(this.runs.filter((run) => this.checked.has(run.run_id)));
  }

  #updateDurations() {
    const runs = new Map(this.runs.map((run) => [run.run_id, run]));
    for (const row of this.rows.children) if (runs.has(row.dataset.key)) updateDuration(row, runs.get(row.dataset.key));
  }

  // --- selection and keyboard --------------------------------------------------------------------------------

  #setChecked(id, isChecked) {
    if (isChecked) this.checked.add(id);
    else this.checked.delete(id);
    this.#renderBulkBar();
  }

  #clearChecked() {
    this.checked.clear();
    this.#renderRows();
  }

  #onKey(event) {
    const isTyping = event.target.matches("input,select,textarea");
    if (isTyping || event.metaKey || event.ctrlKey || event.altKey || document.querySelector("dialog[open]")) return;
    const { key } = event;
    if (key === "/") {
      event.preventDefault();
      this.filterBar.search.focus();
    } else if (key === "j") this.#moveBy(1);
    else if (key === "k") this.#moveBy(-1);
    else if (key === "x" && this.current) {
      if (!this.checked.delete(this.current)) this.checked.add(this.current);
      this.#renderRows();
    } else if (key === "Enter" && this.current && !event.target.matches("a,button,summary"))
      navigate(`runs/${this.current}`);
  }

  #moveBy(step) {
    if (!this.runs.length) return;
    const at = this.runs.findIndex((run) => run.run_id === this.current);
    this.current = this.runs[Math.min(this.runs.length - 1, Math.max(0, at + step))].run_id;
    this.#renderRows();
    const row = this.rows.querySelector(".selected");
    row?.scrollIntoView({ block: "nearest" });
    row?.querySelector("a").focus({ preventScroll: true });
  }
}
