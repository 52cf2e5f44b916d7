// The dialog that sends one of the signals that a run's workflow declares.

import { getJson } from "../lib/api.js";
import { openRequestDialog } from "../lib/dialogs.js";
import { h, setContent } from "../lib/dom.js";
import { schemaFormWithJson } from "../lib/form.js";
import { notify, reportError } from "../lib/notices.js";
import { pythonLiteral, runHandle } from "../lib/snippets.js";
import { segment } from "../lib/url.js";
import { dropdown, labelled } from "../lib/widgets.js";

export async function openSignalDialog(run) {
  let document;
  try {
    document = await getJson(`/v1/workflows/${segment(run.workflow_id)}/versions/${segment(run.workflow_version)}`);
  } catch (error) {
    return reportError(error);
  }
  const nodes = document.nodes.filter(({ kind }) => kind === "signal" || kind === "human_input");
  if (!nodes.length) return notify("This workflow has no signals.", "bad");
  let form = null;
  const payload = h("div");
  const options = nodes.map(({ name }) => [name, name]);
  const signal = dropdown({ id: "signal", onchange: () => showForm() }, options);
  const showForm = () => {
    form = schemaFormWithJson(nodes.find(({ name }) => name === signal.value).schema ?? {});
    setContent(payload, form.box);
  };
  showForm();
  openRequestDialog("Send a signal", {
    text: [
      "The signal goes to the node that waits for it. If the node does not wait yet, the signal is kept until then.",
    ],
    fields: h("div.fields", labelled("Signal", signal), payload),
    label: "Send",
    closeLabel: "Close",
    makeRequest: () => signalRequest(run, signal.value, form.read()),
    onDone: () => notify("The signal was delivered"),
    onError(error) {
      if (error.code === "payload_invalid") form.showErrors(error.details, error.message);
      else reportError(error);
    },
    wide: true,
  });
}

const signalRequest = (run, name, payload) => ({
  method: "POST",
  path: `/v1/runs/${segment(run.run_id)}/signals/${segment(name)}`,
  body: { payload },
  python: `await ${runHandle(run.run_id)}.signal(${pythonLiteral(name)}, ${pythonLiteral(payload)})`,
});
