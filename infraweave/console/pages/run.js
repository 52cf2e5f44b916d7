// The page of one run: header, live graph, inspector and timeline, with one selection.

import { getJson, isExpected } from "../lib/api.js";
import { updateApprovalBadge } from "../lib/approval_badge.js";
import { h, oncePerFrame, setContent, throttle } from "../lib/dom.js";
import { localizeTimes, shortId } from "../lib/format.js";
import { followLive, liveIndicator } from "../lib/live.js";
import { toPlainNumbers } from "../lib/lossless_json.js";
import { reportError } from "../lib/notices.js";
import { link, setQuery } from "../lib/router.js";
import { segment } from "../lib/url.js";
import { createGraph } from "../run/graph.js";
import { Inspector } from "../run/inspector.js";
import { applyEvent, createModel, isEnded, loadHistory, loadSummary, nodeToShow } from "../run/model.js";
import { createHeader } from "../run/run_header.js";
import { createSummary } from "../run/summary.js";
import { createTimeline } from "../run/timeline.js";

/** Runs with more events are shown from their summary, and not from their first event. */
const MAX_EVENTS = 5000;
/** Rows of the history that are read of such a run: failures, and the first executions. */
const HISTORY_READS = [{ state: "failed", limit: 200 }, { limit: 1000 }];

export async function open(main, parameters, runId) {
  const path = `/v1/runs/${segment(runId)}`;
  const run = await getJson(path);
  const versionPath = `/v1/workflows/${segment(run.workflow_id)}/versions/${segment(run.workflow_version)}`;
  const document = await getJson(versionPath, { include: "layout" });
  return main.isConnected ? new RunPage(main, parameters, path, run, document).open() : null;
}

class RunPage {
  constructor(main, parameters, path, run, document) {
    Object.assign(this, { path, run, document });
    this.model = createModel(document);
    if (run.last_seq > MAX_EVENTS) loadSummary(this.model, run);
    this.selected = parameters.get("node");
    /** Until someone selects a node, the page selects what is most interesting. */
    this.selectsByItself = this.selected === null;
    this.hasShownFailure = false;
    this.isClosed = false;
    this.#render(main, parameters.get("tab"));
  }

  #render(main, tab) {
    const { run, document } = this;
    window.document.title = `${run.workflow_id} ${shortId(run.run_id)} · InfraWeave`;
    const kinds = new Map(document.nodes.map(({ name, kind }) => [name, kind]));
    this.live = liveIndicator();
    this.explanation = h("p.explain", { "aria-live": "polite" });
    this.header = createHeader(run, this.live, (changes) => this.#onChange(changes));
    this.graph = createGraph(toPlainNumbers(document.layout), kinds, (name) => this.#onSelect(name));
    this.timeline = createTimeline((step) => this.#onSelect(step.node));
    this.inspector = new Inspector(
      () => this.#onSelect(null),
      (id) => setQuery({ node: this.selected, tab: id }),
    );
    this.summary = createSummary(run, () => this.#onAnswered());
    this.side = h("div.right");
    if (tab) this.inspector.openTab(tab);
    else if (run.state === "failed") this.inspector.openTab("error");
    const graphPane = h("section.graph-pane", { "aria-label": "Graph" }, this.graph.box);
    const header = h("header.run-head", this.header.box, this.explanation);
    setContent(main, h("article.run-page", header, h("div.stage", graphPane, this.side), this.timeline.box));
  }

  /** Load what is missing and follow the run; returns the function that closes the page. */
  open() {
    this.header.update(this.run, this.model);
    this.graph.update(this.model);
    this.#select(this.selected);
    if (this.model.isPartial) this.#loadHistory();
    this.#refresh();
    this.#follow();
    const timer = setInterval(() => this.#tick(), 1000);
    const resizing = new ResizeObserver(() => this.#fitGraph());
    resizing.observe(this.graph.box);
    return () => {
      this.isClosed = true;
      clearInterval(timer);
      resizing.disconnect();
    };
  }

  #follow() {
    const update = () => {
      this.#update();
      this.#refresh();
    };
    const onEvent = (type, event) => {
      if (!applyEvent(this.model, type, event)) return;
      update();
      if (type.startsWith("input_")) updateApprovalBadge();
    };
    followLive(this.live, `${this.path}/events`, { event: onEvent, end: update }, () => this.model.seq);
  }

  /** Show what the model says. */
  #update = oncePerFrame(() => {
    if (this.isClosed) return;
    this.header.update(this.run, this.model);
    this.graph.update(this.model);
    this.timeline.show(this.model);
    if (this.selected) this.inspector.tick();
    else this.summary.update(this.run, this.model);
    if (this.selectsByItself) this.#selectInteresting();
  });

  /** Read what events do not carry: payloads, and the explanation of why the run does not move. */
  #refresh = throttle(1000, async () => {
    if (this.isClosed) return;
    try {
      this.run = await getJson(this.path);
      const { explanation, moving } = await getJson(`${this.path}/explain`);
      this.#showExplanation(moving || this.run.state === "succeeded" ? "" : localizeTimes(explanation));
      if (this.selected) this.inspector.refresh(this.run, this.document, this.model);
      this.#update();
    } catch (error) {
      if (error.status) reportError(error);
      else if (!isExpected(error)) throw error;
    }
  });

  /** A link that is rendered again during a click is not followed, so the text is kept when it stays the same. */
  #showExplanation(text) {
    if (this.explanation.dataset.text !== text) setContent(this.explanation, withRunLinks(text));
    this.explanation.dataset.text = text;
    this.explanation.className = `explain is-${isEnded(this.model) ? this.run.state : "waiting"}`;
  }

  /** Show failures and the first executions of a long run. */
  async #loadHistory() {
    try {
      for (const parameters of HISTORY_READS) {
        const { history } = await getJson(`${this.path}/history`, parameters);
        loadHistory(this.model, history);
      }
      this.#update();
    } catch (error) {
      reportError(error);
    }
  }

  #onSelect(name) {
    this.selectsByItself = false;
    this.#select(name);
  }

  #select(name) {
    this.selected = this.model.nodes.has(name) ? name : null;
    setQuery({ node: this.selected });
    this.graph.select(this.selected);
    this.timeline.select(this.selected);
    if (this.selected) {
      this.graph.reveal(this.selected);
      setContent(this.side, this.inspector.box);
      this.inspector.show(this.run, this.document, this.model, this.selected);
    } else {
      this.inspector.clear();
      setContent(this.side, this.summary.box);
      this.summary.update(this.run, this.model);
    }
  }

  /** Select the node that people want to see; the first time that one fails, show its error. */
  #selectInteresting() {
    const name = nodeToShow(this.model);
    const isNewFailure = this.model.nodes.get(name)?.state === "failed" && !this.hasShownFailure;
    if (name === this.selected && !isNewFailure) return;
    if (isNewFailure) {
      this.hasShownFailure = true;
      this.inspector.openTab("error");
    }
    this.#select(name);
  }

  /** An action has changed the run. */
  #onChange(changes) {
    this.run = { ...this.run, set_aside: false, ...changes };
    this.#refresh();
  }

  #onAnswered() {
    this.#refresh();
    updateApprovalBadge();
  }

  #tick() {
    if (isEnded(this.model)) return;
    this.header.tick(this.model);
    this.graph.tick(this.model);
    this.timeline.render();
  }

  #fitGraph() {
    this.graph.fit(true);
    if (this.selected) this.graph.reveal(this.selected);
  }
}

/** A sentence in which the ids of runs are links. */
const withRunLinks = (sentence) =>
  sentence.split(/(run_[0-9A-Z]{26})/).map((part, index) => (index % 2 ? link(`runs/${part}`, shortId(part)) : part));
