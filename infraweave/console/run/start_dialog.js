// The dialog that starts a run: choose a workflow and fill in its input.

import { getJson } from "../lib/api.js";
import { openRequestDialog } from "../lib/dialogs.js";
import { h, setContent } from "../lib/dom.js";
import { schemaFormWithJson } from "../lib/form.js";
import { FormError } from "../lib/form_error.js";
import { notify, reportError } from "../lib/notices.js";
import { navigate } from "../lib/router.js";
import { isAllowed } from "../lib/session.js";
import { pythonLiteral } from "../lib/snippets.js";
import { segment } from "../lib/url.js";
import { dropdown, labelled } from "../lib/widgets.js";

/** Open the dialog; `workflowId` and `version` are selected at first. */
export async function openStartDialog(workflowId = "", version = null) {
  try {
    const { workflows } = await getJson("/v1/workflows");
    const allowed = workflows.filter(({ workflow_id: id }) => isAllowed("execute", id));
    if (allowed.length) showStartDialog(allowed, workflowId, version);
    else notify("There is no workflow that you are allowed to start.", "bad");
  } catch (error) {
    reportError(error);
  }
}

function showStartDialog(workflows, workflowId, wantedVersion) {
  let form = null;
  const input = h("div");
  const versionPlace = h("div");
  const fault = h("p.fault", { role: "alert" });
  const tags = h("input", { type: "text", id: "tags", placeholder: "team:shop, order:42" });
  const ids = workflows.map(({ workflow_id: id }) => [id, id]);
  const workflow = dropdown({ id: "workflow", onchange: () => showVersions() }, ids, workflowId);
  let version = null;
  const showVersions = () => {
    const { versions, active_version: active } = workflows.find(({ workflow_id: id }) => id === workflow.value);
    const options = versions.map((each) => [each, each === active ? `${each} (active)` : each]);
    const selected = (workflow.value === workflowId && wantedVersion) || active;
    version = dropdown({ id: "version", onchange: () => showForm() }, options, selected);
    setContent(versionPlace, labelled("Version", version));
    showForm();
  };
  const showForm = async () => {
    const chosen = version;
    const name = chosen.value;
    try {
      const document = await getJson(`/v1/workflows/${segment(workflow.value)}/versions/${segment(name)}`);
      if (version !== chosen || chosen.value !== name) return;
      form = schemaFormWithJson(document.input_schema);
      setContent(input, form.box);
    } catch (error) {
      fault.textContent = error.message;
    }
  };
  const makeRequest = () => {
    fault.textContent = "";
    return form && startRequest(workflow.value, version.value, form.read() ?? {}, readTags(tags.value, fault));
  };
  showVersions();
  openRequestDialog("Start a run", {
    fields: [
      h("div.pair", labelled("Workflow", workflow), versionPlace),
      input,
      labelled("Tags", tags, { hint: "optional" }),
      fault,
    ],
    label: "Start",
    closeLabel: "Close",
    makeRequest,
    onDone(run) {
      notify(run.state === "queued" ? "The run is queued" : "The run has started");
      navigate(`runs/${run.run_id}`);
    },
    onError(error) {
      if (error.code === "input_invalid") form.showErrors(error.details, error.message);
      else fault.textContent = error.message;
    },
    wide: true,
  });
}

function startRequest(workflowId, version, input, tags) {
  const hasTags = Object.keys(tags).length > 0;
  const body = { workflow_id: workflowId, workflow_version: version, input, ...(hasTags && { tags }) };
  const options = [pythonLiteral(workflowId), pythonLiteral(input), `version=${pythonLiteral(version)}`];
  if (hasTags) options.push(`tags=${pythonLiteral(tags)}`);
  return { method: "POST", path: "/v1/runs", body, python: `await client.start(${options.join(", ")})` };
}

/** Read "key:value, key:value". Throws FormError and shows it when a tag is not valid. */
function readTags(text, fault) {
  const tags = text
    .split(",")
    .map((tag) => tag.trim())
    .filter(Boolean);
  const invalid = tags.find((tag) => tag.indexOf(":") < 1);
  if (invalid) {
    fault.textContent = `"${invalid}" is not a valid tag. Tags are written as key:value.`;
    throw new FormError(fault.textContent);
  }
  return Object.fromEntries(tags.map((tag) => [tag.slice(0, tag.indexOf(":")), tag.slice(tag.indexOf(":") + 1)]));
}
