// The open input requests of a run: prompt, data and the form of the answer.

import { h, reconcile, setContent } from "../lib/dom.js";
import { jsonView } from "../lib/json_view.js";
import { timeElement } from "../lib/widgets.js";
import { answerForm } from "./answer_form.js";

/** When a request was made, and when it is due. */
export const requestTimes = ({ since, deadline }) => [
  "asked ",
  timeElement(since),
  deadline && [" · due ", timeElement(deadline)],
];

/** Show the open requests of a run in a box. Existing forms are kept, so nothing that someone typed is lost. */
export function showInputRequests(box, run, requests, onAnswered = () => {}) {
  reconcile(
    box,
    requests,
    (request) => request.request_id,
    (request) => requestElement(run, request, onAnswered),
    (element, request) => showData(element, run, request),
  );
}

const requestElement = (run, request, onAnswered) =>
  h(
    "section.input-request",
    h("h3.prompt", request.prompt),
    h("p.muted", requestTimes(request)),
    h("div.part.data"),
    answerForm(request, run, onAnswered),
  );

/** Show the data of a request. Events do not carry it, so it appears once the run has been read again. */
function showData(element, run, request) {
  const place = element.querySelector(".data");
  const { data } = run.waiting_for?.find((each) => each.request_id === request.request_id) ?? request;
  if (!place.firstChild && data !== undefined && data !== null) setContent(place, jsonView(data, "data"));
}
