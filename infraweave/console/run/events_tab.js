// The inspector's tab with the events of a node. It reads on from the last event that it has seen.

import { getJson } from "../lib/api.js";
import { h, reconcile } from "../lib/dom.js";
import { formatCount } from "../lib/format.js";
import { jsonView } from "../lib/json_view.js";
import { reportError } from "../lib/notices.js";
import { segment } from "../lib/url.js";
import { timeElement } from "../lib/widgets.js";

/** The most events of a node that are shown. */
const MAX_EVENTS = 200;
/** The most pages of the run's events that one update reads, and their size. */
const MAX_PAGES = 10;
const PAGE_SIZE = 1000;

/** Make the tab: {box, update(), readsEvents}. What was read is kept in the view. */
export function eventsTab(view) {
  view.events ??= { found: [], lastSeq: 0 };
  const list = h("div.part");
  const status = h("p.muted", "Loading…");
  const render = () => {
    const { found } = view.events;
    const shown = found.slice(0, MAX_EVENTS);
    reconcile(list, shown, (event) => event.seq, eventElement);
    if (found.length > MAX_EVENTS) status.textContent = `The first ${formatCount(MAX_EVENTS)} events.`;
    else status.textContent = shown.length ? "" : "There are no events yet.";
  };
  let isReading = false;
  return {
    box: h("div.part", list, status),
    readsEvents: true,
    async update() {
      const isComplete = view.events.lastSeq >= view.model.seq || view.events.found.length > MAX_EVENTS;
      if (isReading || isComplete) return render();
      isReading = true;
      try {
        await readEvents(view);
        render();
      } catch (error) {
        reportError(error);
      } finally {
        isReading = false;
      }
    },
  };
}

/** Read further events of the run, with their payloads, and keep those of the node. */
async function readEvents({ run, name, events }) {
  const isOfNode = (event) => event.node === name || (event.type === "signal_received" && event.name === name);
  const path = `/v1/runs/${segment(run.run_id)}/events`;
  for (let page = 0; page < MAX_PAGES && events.found.length <= MAX_EVENTS; page += 1) {
    const parameters = { after: events.lastSeq, limit: PAGE_SIZE, include: "payloads" };
    const { events: read, next_after: lastSeq } = await getJson(path, parameters);
    events.found.push(...read.filter(isOfNode));
    if (!read.length || lastSeq === events.lastSeq) return;
    events.lastSeq = lastSeq;
  }
}

const eventElement = (event) =>
  h(
    "details.event",
    h("summary", h("span.num", `${event.seq}`), ` ${event.type} `, timeElement(event.at)),
    jsonView(event, "event"),
  );
