// The run as a whole: what it came to, what it waits for, what it was given, its children.

import { get, seg } from "../lib/api.js";
import { showAsked } from "./input_requests.js";
import { link } from "../lib/router.js";
import { h, put } from "../lib/dom.js";
import { plural, shortId } from "../lib/format.js";
import { jsonView } from "../lib/json_view.js";
import { ended } from "./model.js";
import { chip, complain } from "../lib/widgets.js";

const CHILDREN = 50;

/** Draw a run into a box, again when it went on; `answered` is called once somebody answered from here. */
export async function summary(box, run, model, answered) {
  box.parts ??= begun(box, run);
  const { asked, result, children } = box.parts;
  showAsked(asked, run, [...model.requests.values()], answered);
  const stamp = `${model.state}|${[...model.requests.keys()]}|${run.last_seq && ended(model) ? run.state : ""}`;
  if (box.stamp === stamp) return;
  box.stamp = stamp;
  try {
    if (ended(model)) await outcome(result, run);
    await family(children, run);
  } catch (error) {
    complain(error);
  }
}

/** Lay out the parts that change, and what does not. */
function begun(box, run) {
  const parts = { asked: h("div.part"), result: h("div"), children: h("div") };
  const input = h("section", h("h3", "Input"), jsonView(run.input, "input"));
  put(box, h("header", h("h2", "Run")), parts.asked, parts.result, input, parts.children);
  return parts;
}

async function outcome(place, run) {
  const { result, error } = await get(`/v1/runs/${seg(run.run_id)}/result`);
  if (!error) {
    put(place, h("section", h("h3", "Result"), jsonView(result, "result")));
    return;
  }
  const where = [
    error.node,
    error.iteration > 1 && `iteration ${error.iteration}`,
    error.index !== null && error.index !== undefined && `item ${error.index}`,
    error.attempt && `attempt ${error.attempt}`,
  ]
    .filter(Boolean)
    .join(", ");
  put(
    place,
    h(
      "section.failed",
      h("h3", h("code", error.code), where && h("span.faint", ` in ${where}`)),
      h("pre.message", error.message),
    ),
  );
}

async function family(place, run) {
  const { runs, next_cursor: more } = await get("/v1/runs", { parent_run_id: run.run_id, limit: CHILDREN });
  if (!runs.length) return;
  put(
    place,
    h(
      "section",
      h("h3", more ? `The newest ${CHILDREN} child runs` : plural(runs.length, "child run")),
      h(
        "ul.children",
        runs.map((child) =>
          h(
            "li",
            chip(child.state),
            " ",
            link(`runs/${child.run_id}`, child.workflow_id, " ", h("code", shortId(child.run_id))),
          ),
        ),
      ),
    ),
  );
}
