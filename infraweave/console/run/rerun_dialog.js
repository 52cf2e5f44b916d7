// The dialog that reruns a run from a node. It shows what the server would keep and run before it starts anything.

import { fetchJson, getJson } from "../lib/api.js";
import { openRequestDialog } from "../lib/dialogs.js";
import { h, setContent } from "../lib/dom.js";
import { errorLines } from "../lib/form.js";
import { FormError } from "../lib/form_error.js";
import { parseJsonInput } from "../lib/form_fields.js";
import { stringifyJson } from "../lib/lossless_json.js";
import { findUnpatchableNull, mergePatch } from "../lib/merge_patch.js";
import { notify, reportError } from "../lib/notices.js";
import { navigate } from "../lib/router.js";
import { pythonLiteral, runHandle } from "../lib/snippets.js";
import { segment } from "../lib/url.js";
import { dropdown, labelled } from "../lib/widgets.js";

export async function openRerunDialog(run, fromNode = "") {
  try {
    const [workflow, whole] = await Promise.all([
      getJson(`/v1/workflows/${segment(run.workflow_id)}`),
      run.nodes ? run : getJson(`/v1/runs/${segment(run.run_id)}`),
    ]);
    showRerunDialog(whole, workflow, fromNode);
  } catch (error) {
    reportError(error);
  }
}

function showRerunDialog(run, workflow, fromNode) {
  const fault = h("p.fault", { role: "alert" });
  const plan = h("div.plan", { "aria-live": "polite" });
  const fields = makeFields(run, workflow, fromNode);
  const makeRequest = () => {
    fault.textContent = "";
    try {
      return rerunRequest(run, fields);
    } catch (error) {
      fault.textContent = error.message;
      throw error;
    }
  };
  const showPlan = planLoader(plan, makeRequest);
  for (const field of Object.values(fields)) field.addEventListener("change", showPlan);
  showPlan();
  openRequestDialog("Rerun this run", {
    text: [
      "A new run starts. It keeps the results of the nodes that finished before the selected node. The selected node " +
        "and all nodes that depend on it run again.",
    ],
    fields: h(
      "div.fields",
      labelled("From", fields.node),
      labelled("Version", fields.version),
      labelled("Input", fields.input, { fault }),
      plan,
    ),
    label: "Start the rerun",
    closeLabel: "Close",
    makeRequest,
    onDone(started) {
      notify("A new run has started");
      navigate(`runs/${started.run_id}`);
    },
    onError(error) {
      fault.textContent = errorLines(error.details ?? [], error.message);
    },
    wide: true,
  });
}

function makeFields(run, workflow, fromNode) {
  const nodes = [["", "the beginning"], ...run.nodes.map(({ node }) => [node, node])];
  const versions = workflow.versions.map(({ version, active }) => [version, active ? `${version} (active)` : version]);
  return {
    node: dropdown({ id: "from" }, nodes, fromNode),
    version: dropdown({ id: "version" }, versions, run.workflow_version),
    input: h("textarea.mono", { id: "input", rows: 6, spellcheck: "false", value: stringifyJson(run.input, 2) }),
  };
}

/** Throws FormError when the input is not valid. */
function rerunRequest(run, { node, version, input }) {
  const patch = inputPatch(run.input, input.value);
  const options = [
    node.value && `from_node=${pythonLiteral(node.value)}`,
    patch !== undefined && `input=${pythonLiteral(patch)}`,
    version.value !== run.workflow_version && `version=${pythonLiteral(version.value)}`,
  ].filter(Boolean);
  return {
    method: "POST",
    path: `/v1/runs/${segment(run.run_id)}/rerun`,
    body: {
      version: version.value,
      ...(node.value && { from_node: node.value }),
      ...(patch !== undefined && { input: patch }),
    },
    python: `await ${runHandle(run.run_id)}.rerun(${options.join(", ")})`,
  };
}

function inputPatch(before, text) {
  const after = parseJsonInput(text, "The input is not JSON");
  const nullAt = findUnpatchableNull(before, after);
  if (nullAt === null) return mergePatch(before, after);
  throw new FormError(`A rerun can remove a field but cannot make one null: ${nullAt || "the input"}.`);
}

/** Return a function that asks the server for the plan of the rerun and shows it. */
function planLoader(plan, makeRequest) {
  let requests = 0;
  return async () => {
    const request = ++requests;
    try {
      const { method, path, body } = makeRequest();
      const found = await fetchJson(method, path, { body: { ...body, dry_run: true } });
      if (request === requests) setContent(plan, renderPlan(found));
    } catch (error) {
      if (request === requests) setContent(plan, h("p.fault", error.message));
    }
  };
}

const renderPlan = ({ reused, rerun, new: added, gone: removed }) =>
  [
    ["Kept", reused],
    ["Run again", rerun],
    ["New in this version", added],
    ["Not in this version", removed],
  ]
    .filter(([, names]) => names.length)
    .map(([label, names]) => h("p", h("b", `${label}: `), names.join(", ")));
