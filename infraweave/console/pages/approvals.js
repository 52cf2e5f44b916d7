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
  let requests = [];
  let total = 0;
  let selected = parameters.get("request");
  let shown = null;
  let isClosed = false;
  const list = h("div.inbox", { "aria-label": "Open requests", role: "list" });
  const pane = h("section.request", { "aria-label": "Request", "aria-live": "polite" });
  const count = h("span.muted");
  const live = liveIndicator();
  const inbox = h("div.approvals", list, pane);
  const empty = emptyState(
    "Nobody is waiting for you",
    "Input requests of running workflows appear here by themselves.",
  );
  empty.hidden = true;
  setContent(main, h("header.page", h("h1", "Approvals"), count, live), empty, inbox);

  async function load() {
    const page = await getJson("/v1/input-requests", { limit: MAX_REQUESTS });
    ({ input_requests: requests, total } = page);
    if (!isClosed) render();
  }
  function render() {
    const isCut = total > requests.length;
    count.textContent = isCut
      ? `${requests.length} of ${total}, the longest waiting first`
      : pluralize(total, "open request");
    empty.hidden = requests.length > 0;
    inbox.hidden = !requests.length;
    if (!requests.some((request) => request.request_id === selected)) selected = defaultSelection(requests);
    reconcile(
      list,
      requests,
      (request) => request.request_id,
      (request) => listItem(request, () => select(request)),
      (item, request) => item.firstChild.setAttribute("aria-current", String(request.request_id === selected)),
    );
    renderPane();
  }
  /** Show the selected request. While someone types an answer, the pane stays as it is. */
  function renderPane() {
    const request = requests.find((each) => each.request_id === selected);
    if (shown === selected || (isBeingEdited(pane) && request)) return;
    shown = selected;
    setContent(pane, request && renderRequest(request, onAnswered));
  }
  function select(request) {
    selected = request.request_id;
    shown = null;
    setQuery({ request: selected });
    render();
    pane.scrollIntoView({ block: "nearest" });
  }
  function onAnswered() {
    shown = null;
    selected = null;
    reload();
    updateApprovalBadge();
  }
  const reload = throttle(500, () => {
    if (!isClosed) load().catch(reportError);
  });
  await load();
  if (!main.isConnected) return null;
  followLive(live, "/v1/runs/changes", {
    open: reload,
    event() {
      reload();
      updateApprovalBadge();
    },
  });
  return () => {
    isClosed = true;
  };
}

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
