// Answering what a person is asked.

import { call, seg } from "../lib/api.js";
import { copyAs, py } from "../lib/snippets.js";
import { h } from "../lib/dom.js";
import { FormFault, form } from "../lib/form.js";
import { complain, notice } from "../lib/widgets.js";

/** The field whose yes or no is the answer itself, and gets two buttons; null where there is none. */
const verdictOf = (schema) => (schema.properties?.approved?.type === "boolean" && !schema.$ref ? "approved" : null);

function without(schema, name) {
  const { [name]: _, ...properties } = schema.properties;
  return { ...schema, properties, required: (schema.required ?? []).filter((each) => each !== name) };
}

/**
 * The form of an open input request of a run; `answered` is called once it is, or was answered elsewhere.
 * `hindrance` says why this principal may not answer.
 */
export function answerForm(asked, runId, answered, hindrance = null) {
  const schema = asked.schema ?? {},
    verdict = verdictOf(schema);
  const fields = form(verdict ? without(schema, verdict) : schema);
  const request = (said = true) => {
    try {
      const read = fields.read();
      const payload = verdict ? { [verdict]: said, ...read } : read;
      const given = [py(asked.signal), py(payload), `request_id=${py(asked.request_id)}`];
      return {
        method: "POST",
        path: `/v1/runs/${seg(runId)}/signals/${seg(asked.signal)}`,
        body: { request_id: asked.request_id, payload },
        python: `await client.run(${py(runId)}).signal(${given.join(", ")})`,
      };
    } catch (error) {
      if (!(error instanceof FormFault)) throw error;
      return null;
    }
  };
  const buttons = verdict
    ? [
        h("button.danger", { type: "submit", value: "no" }, "Refuse"),
        h("button.primary", { type: "submit", value: "yes" }, "Approve"),
      ]
    : [h("button.primary", { type: "submit", value: "yes" }, "Answer")];
  const enable = (is) => {
    for (const each of buttons) each.disabled = !is || hindrance !== null;
  };
  enable(true);
  const submit = async (event) => {
    event.preventDefault();
    const sent = request(event.submitter?.value !== "no");
    if (!sent) return;
    enable(false);
    try {
      await call(sent.method, sent.path, { body: sent.body });
      notice("The answer was delivered");
      answered();
    } catch (error) {
      if (error.code === "payload_invalid") fields.complain(error.details, error.message);
      else complain(error);
      if (error.status === 409 || error.status === 404) answered();
    } finally {
      enable(true);
    }
  };
  return h(
    "form.answer",
    { novalidate: true, onsubmit: submit },
    fields.box,
    hindrance && h("p.help", hindrance),
    h(
      "footer",
      copyAs(() => request()),
      h("div.spring"),
      buttons,
    ),
  );
}
