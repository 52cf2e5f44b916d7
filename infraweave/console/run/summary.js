// The summary of a whole run: its open requests, its result or error, its input and its child runs.

import { getJson } from "../lib/api.js";
import { h, setContent } from "../lib/dom.js";
import { pluralize, shortId } from "../lib/format.js";
import { jsonView } from "../lib/json_view.js";
import { reportError } from "../lib/notices.js";
import { link } from "../lib/router.js";
import { segment } from "../lib/url.js";
import { stateChip } from "../lib/widgets.js";
import { showInputRequests } from "./input_requests.js";
import { isEnded } from "./model.js";

/** The most child runs that are listed. */
const MAX_CHILDREN = 50;

/** Make a summary: {box, update(run, model)}. onAnswered() is called when a request was answered here. */
export function createSummary(run, onAnswered) {
  const requests = h("div.part");
  const result = h("div");
  const children = h("div");
  const input = h("section", h("h3", "Input"), jsonView(run.input, "input"));
  const box = h(
    "aside.inspector",
    { "aria-label": "Run" },
    h("header", h("h2", "Run")),
    requests,
    result,
    input,
    children,
  );
  let version = null;
  return {
    box,
    async update(current, model) {
      showInputRequests(requests, current, [...model.requests.values()], onAnswered);
      const now = [model.state, ...model.requests.keys(), isEnded(model) && current.state].join("|");
      if (now === version) return;
      version = now;
      try {
        if (isEnded(model)) setContent(result, await loadResult(current));
        setContent(children, await loadChildren(current));
      } catch (error) {
        reportError(error);
      }
    },
  };
}

async function loadResult(run) {
  const { result, error } = await getJson(`/v1/runs/${segment(run.run_id)}/result`);
  if (!error) return h("section", h("h3", "Result"), jsonView(result, "result"));
  const where = [
    error.node,
    error.iteration > 1 && `iteration ${error.iteration}`,
    error.index !== null && error.index !== undefined && `item ${error.index}`,
    error.attempt && `attempt ${error.attempt}`,
  ].filter(Boolean);
  const title = h("h3", h("code", error.code), where.length > 0 && h("span.muted", ` in ${where.join(", ")}`));
  return h("section", title, h("pre.message", error.message));
}

async function loadChildren(run) {
  const { runs, next_cursor: cursor } = await getJson("/v1/runs", { parent_run_id: run.run_id, limit: MAX_CHILDREN });
  if (!runs.length) return null;
  const title = cursor ? `The newest ${MAX_CHILDREN} child runs` : pluralize(runs.length, "child run");
  const child = ({ run_id: id, state, workflow_id: workflow }) =>
    h("li", stateChip(state), " ", link(`runs/${id}`, workflow, " ", h("code", shortId(id))));
  return h("section", h("h3", title), h("ul.children", runs.map(child)));
}
