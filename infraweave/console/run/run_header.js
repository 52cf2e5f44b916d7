// The header of a run's page: its state, its actions and the facts about it.

import { h, setContent } from "../lib/dom.js";
import { formatCompact, formatDollars, formatDuration, shortId } from "../lib/format.js";
import { copyToClipboard } from "../lib/notices.js";
import { link } from "../lib/router.js";
import { curlCommand } from "../lib/snippets.js";
import { segment } from "../lib/url.js";
import { button, copyButton, setAsideTag, stateChip, timeElement } from "../lib/widgets.js";
import { actionButtons } from "./actions.js";
import { isEnded } from "./model.js";

/** Make a header: {box, update(run, model), tick(model)}. onChange(run) is called after an action on the run. */
export function createHeader({ run_id: runId, workflow_id: workflow, workflow_version: version }, live, onChange) {
  const state = h("span");
  const actions = h("div.actions");
  const facts = h("ul.facts");
  const duration = h("span");
  const heading = h("h1", link(`workflows/${segment(workflow)}`, workflow), " ", h("small", version));
  const box = h("div", h("div.title", state, heading, live, h("div.spacer"), actions), facts);
  const copyRun = button(
    "",
    () => copyToClipboard(curlCommand({ method: "GET", path: `/v1/runs/${runId}` }), "curl command"),
    {
      iconName: "copy",
      "aria-label": "Copy this run as curl",
      title: "Copy this run as curl",
    },
  );
  let current = null;
  let actionsVersion = null;

  function updateActions(model, isCancelling, isSetAside) {
    const now = [isEnded(model) && model.state, isCancelling, isSetAside].join("|");
    if (now === actionsVersion) return;
    actionsVersion = now;
    const getRun = () => ({ ...current, state: model.state, cancel_requested: model.cancelRequested });
    setContent(actions, actionButtons(getRun, onChange), copyRun);
  }

  const tick = (model) => {
    const ms = model.startedAt ? (model.finishedAt ?? Date.now()) - model.startedAt : null;
    setContent(duration, formatDuration(ms));
  };
  return {
    box,
    tick,
    update(run, model) {
      current = run;
      const isCancelling = model.cancelRequested && !isEnded(model);
      const isSetAside = Boolean(run.set_aside) && !isEnded(model);
      setContent(state, stateChip(model.state, isCancelling ? ", being cancelled" : ""), isSetAside && setAsideTag());
      updateActions(model, isCancelling, isSetAside);
      setContent(facts, renderFacts(run, model, duration));
      tick(model);
    },
  };
}

const fact = (label, ...value) => h("li", h("span.muted", `${label} `), value);
const runLink = (id) => link(`runs/${id}`, shortId(id));

const renderFacts = (run, model, duration) => [
  fact("Run", h("code", { title: run.run_id }, shortId(run.run_id)), copyButton(run.run_id, "run id")),
  fact("Created", timeElement(run.created_at)),
  fact("Duration", duration),
  fact("Trigger", run.trigger),
  run.parent_run_id && fact("Parent", runLink(run.parent_run_id)),
  run.rerun_of && fact("Rerun of", runLink(run.rerun_of)),
  model.tokens > 0 && fact("Tokens", formatCompact(model.tokens)),
  model.cost > 0 && fact("Cost", formatDollars(model.cost)),
  fact("Trace", h("code", run.trace_id.slice(0, 8)), copyButton(run.trace_id, "trace id")),
  Object.entries(run.tags).map(([key, value]) => fact(key, value)),
];
