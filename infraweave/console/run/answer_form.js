// The form that answers an input request.

import { fetchJson } from "../lib/api.js";
import { valid } from "../lib/dialogs.js";
import { h } from "../lib/dom.js";
import { schemaForm } from "../lib/form.js";
import { notify, reportError } from "../lib/notices.js";
import { missingGrant } from "../lib/session.js";
import { copyAsButtons, pythonLiteral, runHandle } from "../lib/snippets.js";
import { segment } from "../lib/url.js";

/** The boolean field that two buttons answer, instead of a field of the form. */
const APPROVED = "approved";
const isApproval = (schema) => schema.properties?.[APPROVED]?.type === "boolean" && !schema.$ref;

function withoutApproved(schema) {
  const { [APPROVED]: _, ...properties } = schema.properties;
  return { ...schema, properties, required: (schema.required ?? []).filter((name) => name !== APPROVED) };
}

/**
 * Make the form of an open input request; without the grant to answer, its buttons are disabled.
 *
 * onAnswered() is called once the request has an answer, also when somebody else gave it.
 */
export function answerForm(request, { run_id: runId, workflow_id: workflowId }, onAnswered) {
  const schema = request.schema ?? {};
  const asksApproval = isApproval(schema);
  const form = schemaForm(asksApproval ? withoutApproved(schema) : schema);
  const forbidden = missingGrant("signal", workflowId);
  const makeRequest = (approved = true) => {
    const fields = form.read();
    return answerRequest(request, runId, asksApproval ? { [APPROVED]: approved, ...fields } : fields);
  };
  const buttons = asksApproval
    ? [submitButton("Refuse", "danger", "no"), submitButton("Approve", "primary", "yes")]
    : [submitButton("Answer", "primary", "yes")];
  const setEnabled = (enabled) => {
    for (const button of buttons) button.disabled = !enabled || forbidden !== null;
  };
  setEnabled(true);
  const send = async (event) => {
    event.preventDefault();
    const answer = valid(() => makeRequest(event.submitter?.value !== "no"));
    if (!answer) return;
    setEnabled(false);
    try {
      await fetchJson(answer.method, answer.path, { body: answer.body });
      notify("The answer was delivered");
      onAnswered();
    } catch (error) {
      if (error.code === "payload_invalid") form.showErrors(error.details, error.message);
      else reportError(error);
      if (error.status === 409 || error.status === 404) onAnswered();
    } finally {
      setEnabled(true);
    }
  };
  return h(
    "form.answer",
    { novalidate: true, onsubmit: send },
    form.box,
    forbidden && h("p.help", forbidden),
    h(
      "footer",
      copyAsButtons(() => valid(makeRequest)),
      h("div.spacer"),
      buttons,
    ),
  );
}

const submitButton = (label, kind, value) => h(`button.${kind}`, { type: "submit", value }, label);

function answerRequest({ signal, request_id: requestId }, runId, payload) {
  const options = [pythonLiteral(signal), pythonLiteral(payload), `request_id=${pythonLiteral(requestId)}`];
  return {
    method: "POST",
    path: `/v1/runs/${segment(runId)}/signals/${segment(signal)}`,
    body: { request_id: requestId, payload },
    python: `await ${runHandle(runId)}.signal(${options.join(", ")})`,
  };
}
