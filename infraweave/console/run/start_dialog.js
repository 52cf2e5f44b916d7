// Starting a run: choose a workflow, fill in its input.

import { call, get, seg } from "../lib/api.js";
import { go } from "../lib/router.js";
import { copyAs, py } from "../lib/snippets.js";
import { h, put } from "../lib/dom.js";
import { FormFault, formOrJson } from "../lib/form.js";
import { may } from "../lib/session.js";
import { button, complain, dialog, notice } from "../lib/widgets.js";

/** Ask which workflow to run and with what; `wanted` is chosen beforehand. */
export async function startDialog(wanted = "", version = null) {
  let workflows;
  try {
    ({ workflows } = await get("/v1/workflows"));
  } catch (error) {
    return complain(error);
  }
  workflows = workflows.filter(({ workflow_id: id }) => may("execute", id));
  if (!workflows.length) return notice("There is no workflow that you may start.", "bad");
  dialog("Start a run", (close) => build(workflows, wanted, version, close), { wide: true });
}

function build(workflows, wanted, version, close) {
  let input = null;
  const place = h("div"),
    fault = h("p.fault", { role: "alert" });
  const pick = h(
    "select",
    { id: "workflow", onchange: () => show() },
    workflows.map(({ workflow_id: id }) => h("option", { value: id, selected: id === wanted }, id)),
  );
  const which = h("select", { id: "version", onchange: () => schema() });
  const tags = h("input", { type: "text", id: "tags", placeholder: "team:shop, order:42" });
  const show = () => {
    const { versions, active_version: active } = workflows.find(({ workflow_id: id }) => id === pick.value);
    put(
      which,
      versions.map((each) =>
        h(
          "option",
          { value: each, selected: each === (pick.value === wanted && version ? version : active) },
          each === active ? `${each} (active)` : each,
        ),
      ),
    );
    return schema();
  };
  const schema = async () => {
    const [id, chosen] = [pick.value, which.value];
    try {
      const document = await get(`/v1/workflows/${seg(id)}/versions/${seg(chosen)}`);
      if (id !== pick.value || chosen !== which.value) return;
      input = formOrJson(document.input_schema);
      put(place, input.box);
    } catch (error) {
      fault.textContent = error.message;
    }
  };
  const request = () => {
    try {
      const body = {
        workflow_id: pick.value,
        workflow_version: which.value,
        input: input.read() ?? {},
        ...(tags.value.trim() && { tags: readTags(tags.value) }),
      };
      const given = [py(body.workflow_id), py(body.input), `version=${py(body.workflow_version)}`];
      if (body.tags) given.push(`tags=${py(body.tags)}`);
      return { method: "POST", path: "/v1/runs", body, python: `await client.start(${given.join(", ")})` };
    } catch (error) {
      if (!(error instanceof FormFault)) throw error;
      if (error.tags) fault.textContent = error.message;
      return null;
    }
  };
  const send = h("button.primary", { type: "submit" }, "Start");
  show();
  return h(
    "form",
    {
      novalidate: true,
      onsubmit: async (event) => {
        event.preventDefault();
        fault.textContent = "";
        const sent = input && request();
        if (!sent) return;
        send.disabled = true;
        try {
          const run = await call("POST", sent.path, {
            body: sent.body,
            headers: { "X-Infraweave-Trigger": "console" },
          });
          close();
          notice(run.state === "queued" ? "The run is queued" : "The run has started");
          go(`runs/${run.run_id}`);
        } catch (error) {
          if (error.code === "input_invalid") input.complain(error.details, error.message);
          else fault.textContent = error.message;
        } finally {
          send.disabled = false;
        }
      },
    },
    h(
      "div.pair",
      h("div.field", h("label", { for: "workflow" }, "Workflow"), pick),
      h("div.field", h("label", { for: "version" }, "Version"), which),
    ),
    place,
    h("div.field", h("label", { for: "tags" }, "Tags", h("span.faint", " optional")), tags),
    fault,
    h("footer", copyAs(request), h("div.spring"), button("Close", close), send),
  );
}

function readTags(text) {
  return Object.fromEntries(
    text
      .split(",")
      .map((each) => each.trim())
      .filter(Boolean)
      .map((each) => {
        const colon = each.indexOf(":");
        if (colon < 1) throw Object.assign(new FormFault(`A tag is key:value; ${each} is none.`), { tags: true });
        return [each.slice(0, colon), each.slice(colon + 1)];
      }),
  );
}
