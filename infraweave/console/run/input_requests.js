// What people are asked in a run: the prompt, what goes with it, and the form of the answer.

import { answerForm } from "./answer_form.js";
import { follow, h, put } from "../lib/dom.js";
import { jsonView } from "../lib/json_view.js";
import { lacks, may } from "../lib/session.js";
import { time } from "../lib/widgets.js";

/** Let a box hold the open requests of a run; a form that somebody fills in stays. `answered` is called after one. */
export function showAsked(box, run, requests, answered) {
  follow(
    box,
    requests,
    (asked) => asked.request_id,
    (asked) => section(run, asked, answered),
    (element, asked) => showData(element, run, asked),
  );
}

function section(run, asked, answered) {
  const hindrance = may("signal", run.workflow_id) ? null : lacks("signal", run.workflow_id);
  return h(
    "section.asked",
    h("h3.prompt", asked.prompt),
    h("p.faint", "Asked ", time(asked.since), asked.deadline && [", due ", time(asked.deadline)]),
    h("div.part.beside"),
    answerForm(asked, run.run_id, answered, hindrance),
  );
}

/** Events do not tell what goes with a question; the run does, once it has been asked again. */
function showData(element, run, asked) {
  const place = element.querySelector(".beside");
  const { data } = run.waiting_for?.find((each) => each.request_id === asked.request_id) ?? asked;
  if (!place.firstChild && data !== undefined && data !== null) put(place, jsonView(data, "data"));
}
