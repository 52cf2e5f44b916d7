// The inbox of open input requests across runs; the one that waits longest comes first.

import { getJson } from "../lib/api.js";
import { updateApprovalBadge } from "../lib/approval_badge.js";
import { h, isBeingEdited, reconcile, setContent, throttle } from "../lib/dom.js";
import { pluralize, shortId } from "../lib/format.js";
import { jsonView } from "../lib/json_view.js";
import { followLive, liveIndicator } from "../lib/live.js";
import { reportError } from "../lib/notices.js";
import { link, setQuery } from "../lib/router.js";
import { segment } from "../lib/url.js";
import { emptyState } from "../lib/widgets.js";
import { answerForm } from "../run/answer_form.js";
import { requestTimes } from "../run/input_requests.js";

/** The most requests that are listed. */
const MAX_REQUESTS = 100;

export async function open(main, parameters) {
  const page = new ApprovalsPage(parameters.get("request"));
  page.render(main);
  await page.load();
  return main.isConnected ? page.open() : null;
}

class ApprovalsPage {
  requests = [];
  /** The id of the request that is shown beside the list. */
  shown = null;
  isClosed = false;
  count = h("span.muted");
  live = liveIndicator();
  list = h("div.inbox", { "aria-label": "Open requests", role: "list" });
  pane = h("section.request", { "aria-label": "Request", "aria-live": "polite" });
  inbox = h("div.approvals", { hidden: true }, this.list, this.pane);
  empty = emptyState("Nobody is waiting for you", "Input requests of running workflows appear here by themselves.");

  constructor(selected) {
    this.selected = selected;
    this.empty.hidden = true;
  }

  render(main) {
    setContent(main, h("header.page", h("h1", "Approvals"), this.count, this.live), this.empty, this.inbox);
  }

  /** Follow changes; returns the function that closes the page. */
  open() {
    const onEvent = () => {
      this.#reload();
      updateApprovalBadge();
    };
    followLive(this.live, "/v1/runs/changes", { open: this.#reload, event: onEvent });
    return () => {
      this.isClosed = true;
    };
  }

  async load() {
    const { input_requests: requests, total } = await getJson("/v1/input-requests", { limit: MAX_REQUESTS });
    if (this.isClosed) return;
    this.requests = requests;
    this.count.textContent = countText(requests.length, total);
    this.#renderList();
  }

  #reload = throttle(500, () => {
    if (!this.isClosed) this.load().catch(reportError);
  });

  #renderList() {
    const { requests } = this;
    const isSelected = (request) => request.request_id === this.selected;
    this.empty.hidden = requests.length > 0;
    this.inbox.hidden = !requests.length;
    if (!requests.some(isSelected)) this.selected = defaultSelection(requests);
    reconcile(
      this.list,
      requests,
      (request) => request.request_id,
      (request) => listItem(request, () => this.#select(request.request_id)),
      (item, request) => item.firstChild.setAttribute("aria-current", String(isSelected(request))),
    );
    this.#renderPane(requests.find(isSelected));
  }

  /** Show the selected request. While someone types an answer, the pane stays as it is. */
  #renderPane(request) {
    if (this.shown === this.selected || (isBeingEdited(this.pane) && request)) return;
    this.shown = this.selected;
    setContent(this.pane, request && renderRequest(request, () => this.#onAnswered()));
  }

  #select(id) {
    this.selected = id;
    this.shown = null;
    setQuery({ request: id });
    this.#renderList();
    this.pane.scrollIntoView({ block: "nearest" });
  }

  #onAnswered() {
    this.shown = null;
    this.selected = null;
    this.#reload();
    updateApprovalBadge();
  }
}

const countText = (listed, total) =>
  total > listed ? `${listed} of ${total}, the longest waiting first` : pluralize(total, "open request");

/** On a phone the list comes first, so nothing is selected. */
const defaultSelection = (requests) =>
  matchMedia("(max-width: 800px)").matches ? null : (requests[0]?.request_id ?? null);

const listItem = (request, onclick) =>
  h(
    "div",
    { role: "listitem" },
    h(
      "button",
      { type: "button", onclick },
      h("b.prompt", request.prompt),
      h("span.muted", `${request.workflow_id} · ${request.node}`),
      h("span.muted", requestTimes(request)),
    ),
  );

const renderRequest = (request, onAnswered) => [
  h("h2.prompt", request.prompt),
  h(
    "p.muted",
    link(`runs/${request.run_id}?node=${segment(request.node)}`, request.workflow_id, " ", shortId(request.run_id)),
    ` · ${request.node} · `,
    requestTimes(request),
  ),
  request.data !== undefined && request.data !== null && jsonView(request.data, "data"),
  answerForm(request, request, onAnswered),
];
