// The triggers: schedules with their next times, which can be paused and run at once, and webhooks.

import { getJson, serverPath } from "../lib/api.js";
import { openRequestDialog } from "../lib/dialogs.js";
import { h, reconcile, setContent, throttle } from "../lib/dom.js";
import { pluralize, shortId } from "../lib/format.js";
import { followLive, liveIndicator } from "../lib/live.js";
import { stringifyJson } from "../lib/lossless_json.js";
import { notify, reportError } from "../lib/notices.js";
import { link, navigate } from "../lib/router.js";
import { missingGrant } from "../lib/session.js";
import { pythonLiteral } from "../lib/snippets.js";
import { segment } from "../lib/url.js";
import { button, copyButton, disableWithReason, emptyState, tableHead, timeElement } from "../lib/widgets.js";

export async function open(main) {
  let isClosed = false;
  const live = liveIndicator();
  const empty = emptyState(
    "No triggers yet",
    "Declare a schedule or a webhook in a workflow, or make one with infraweave schedules create or " +
      "infraweave webhooks create.",
  );
  empty.hidden = true;
  const schedules = createTable("Schedules", ["Schedule", "When", "Next", "Last", "State", ""]);
  const webhooks = createTable("Webhooks", ["Webhook", "Address", "Signature", "Delivery id"]);
  setContent(main, h("header.page", h("h1", "Triggers"), live), empty, schedules.box, webhooks.box);
  async function load() {
    const [scheduled, called] = await Promise.all([getJson("/v1/schedules"), getJson("/v1/webhooks")]);
    if (isClosed) return;
    schedules.show(
      scheduled.schedules,
      (schedule) => schedule.schedule_id,
      (schedule) => scheduleCells(schedule, load),
    );
    webhooks.show(called.webhooks, (webhook) => webhook.name, webhookCells);
    empty.hidden = scheduled.schedules.length + called.webhooks.length > 0;
  }
  const reload = throttle(2000, () => {
    if (!isClosed) load().catch(reportError);
  });
  await load();
  if (!main.isConnected) return null;
  followLive(live, "/v1/runs/changes", { open: reload, event: reload });
  return () => {
    isClosed = true;
  };
}

/** Make a table that follows a list, and is hidden while the list is empty: {box, show(list, keyOf, cellsOf)}. */
function createTable(title, columns) {
  const rows = h("tbody");
  const count = h("span.muted");
  const box = h(
    "section.triggers",
    { "aria-label": title },
    h("h2", title, " ", count),
    h("div.scroll-x", h("table.list", tableHead(columns), rows)),
  );
  return {
    box,
    show(list, keyOf, cellsOf) {
      box.hidden = !list.length;
      count.textContent = list.length;
      reconcile(
        rows,
        list,
        keyOf,
        () => h("tr"),
        (row, item) => updateRow(row, item, cellsOf),
      );
    },
  };
}

/** Render a row again when its item has changed, and keep the focus where it was. */
function updateRow(row, item, cellsOf) {
  const content = stringifyJson(item);
  if (row.dataset.content === content) return;
  const controls = () => [...row.querySelectorAll("a, button")];
  const focused = controls().indexOf(document.activeElement);
  row.dataset.content = content;
  setContent(row, cellsOf(item));
  if (focused >= 0) controls()[focused]?.focus();
}

const nameCell = ({ name, workflow_id: workflow }) =>
  h("th", { scope: "row" }, h("b", name), h("div", link(`workflows/${segment(workflow)}`, workflow)));
const originText = ({ declared_in: version }) =>
  h("span.muted", version === null ? "made through the API" : `declared in ${version}`);

// --- schedules -----------------------------------------------------------------------------------------------

function scheduleCells(schedule, reload) {
  const [next] = schedule.next_fire_times;
  const { cron, every, timezone, last_fire_time: lastTime, last_run_id: lastRun } = schedule;
  return [
    nameCell(schedule),
    h("td", h("code", cron ?? `every ${every}`), h("div.muted", cron && `${timezone} · `, originText(schedule))),
    h("td", timeElement(next), next && h("div.muted", timeInZone(next, timezone))),
    h("td", timeElement(lastTime), lastRun && h("div", link(`runs/${lastRun}`, shortId(lastRun)))),
    h("td", scheduleState(schedule)),
    h("td", h("div.actions", scheduleActions(schedule, reload))),
  ];
}

/** A time as clocks in a time zone show it. */
const timeInZone = (time, timeZone) =>
  new Intl.DateTimeFormat(undefined, {
    weekday: "short",
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
    timeZone,
  }).format(new Date(time));

function scheduleState({ paused, waiting, skipped, last_error: error }) {
  return [
    h(`span.chip.is-${paused ? "cancelled" : "succeeded"}`, paused ? "paused" : "on"),
    waiting > 0 && h("div.muted", `${pluralize(waiting, "time")} waiting for an open run`),
    skipped > 0 && h("div.muted", `${pluralize(skipped, "time")} skipped: a run was open`),
    error && h("div.fault", error),
  ];
}

const scheduleActions = (schedule, reload) =>
  [
    ["Run now", "trigger", "execute"],
    schedule.paused ? ["Resume", "resume", "publish"] : ["Pause", "pause", "publish"],
  ].map(([label, action, grant]) =>
    disableWithReason(
      button(label, () => openActionDialog(schedule, action, reload)),
      missingGrant(grant, schedule.workflow_id),
    ),
  );

const DIALOGS = {
  trigger: {
    title: "Run this schedule now",
    text: "A run starts at once, with the input of the schedule. The schedule's own times stay as they are.",
    label: "Start a run",
  },
  pause: {
    title: "Pause this schedule",
    text: "No runs start until it is resumed, and the times that it misses are not made up for. Open runs go on.",
    label: "Pause it",
    done: "The schedule is paused",
  },
  resume: {
    title: "Resume this schedule",
    text: "It starts runs again, from its next time on.",
    label: "Resume it",
    done: "The schedule is on again",
  },
};

function openActionDialog({ schedule_id: id }, action, reload) {
  const { title, text, label, done } = DIALOGS[action];
  const path = `/v1/schedules/${segment(id)}/${action}`;
  const python =
    action === "trigger"
      ? `await client.trigger(${pythonLiteral(id)})`
      : `await client.request("POST", ${pythonLiteral(path)})`;
  openRequestDialog(title, {
    text: [`${id}. ${text}`],
    label,
    closeLabel: "Close",
    makeRequest: () => ({ method: "POST", path, python }),
    onDone(response) {
      if (action === "trigger") return navigate(`runs/${response.run_id}`);
      notify(done);
      reload().catch(reportError);
    },
  });
}

// --- webhooks ------------------------------------------------------------------------------------------------

function webhookCells(webhook) {
  const { path, delivery, signature_header: signature, timestamp_header: timestamp, tolerance } = webhook;
  return [
    nameCell(webhook),
    h("td", h("code", path), copyButton(location.origin + serverPath(path), "address"), h("div", originText(webhook))),
    h("td", h("code", signature), timestamp && h("div.muted", `with ${timestamp}, at most ${tolerance} old`)),
    h("td", h("code", delivery)),
  ];
}
