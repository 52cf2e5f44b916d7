// The triggers: schedules with their next times, which can be paused and run at once, and webhooks.

import { address, get, seg, stream } from "../lib/api.js";
import { ask } from "../run/actions.js";
import { go, link } from "../lib/router.js";
import { py } from "../lib/snippets.js";
import { atMostEvery, follow, h, put } from "../lib/dom.js";
import { plural, shortId } from "../lib/format.js";
import { print } from "../lib/lossless_json.js";
import { lacks, may } from "../lib/session.js";
import { button, complain, copyButton, empty, forbid, heads, notice, time } from "../lib/widgets.js";

export async function open(main) {
  let gone = false;
  const live = h("span.live", { role: "status" }),
    none = h("div");
  const schedules = table("Schedules", ["Schedule", "When", "Next", "Last", "State", ""]),
    webhooks = table("Webhooks", ["Webhook", "Address", "Signature", "Delivery id"]);
  put(main, h("header.page", h("h1", "Triggers"), live), none, schedules.box, webhooks.box);
  async function load() {
    const [timed, called] = await Promise.all([get("/v1/schedules"), get("/v1/webhooks")]);
    if (gone) return;
    schedules.show(
      timed.schedules,
      (each) => each.schedule_id,
      (each) => scheduleCells(each, load),
    );
    webhooks.show(called.webhooks, (each) => each.name, webhookCells);
    put(
      none,
      schedules.box.hidden &&
        webhooks.box.hidden &&
        empty(
          "Nothing starts runs by itself yet",
          "Declare a schedule or a webhook in a workflow, or make one with infraweave schedules create or webhooks " +
            "create.",
        ),
    );
  }
  const reload = atMostEvery(2000, () => {
    if (!gone) load().catch(complain);
  });
  await load();
  if (!main.isConnected) return null;
  stream("/v1/runs/changes", {
    open: () => {
      live.textContent = "live";
      live.className = "live";
      reload();
    },
    event: reload,
    lost: () => {
      live.textContent = "reconnecting…";
      live.className = "live lost";
    },
  });
  return () => {
    gone = true;
  };
}

/** A table whose rows follow a list; it hides while that is empty. */
function table(title, columns) {
  const rows = h("tbody"),
    told = h("span.faint");
  const box = h(
    "section.triggers",
    { "aria-label": title },
    h("h2", title, " ", told),
    h("div.scroll-x", h("table.list", heads(columns), rows)),
  );
  return {
    box,
    show(list, key, cells) {
      box.hidden = !list.length;
      told.textContent = list.length;
      follow(
        rows,
        list,
        key,
        () => h("tr"),
        (row, each) => redraw(row, each, cells),
      );
    },
  };
}

/** Draw a row anew where it has changed, and leave the focus where it was. */
function redraw(row, each, cells) {
  const said = print(each);
  if (row.dataset.said === said) return;
  const place = [...row.querySelectorAll("a, button")].indexOf(document.activeElement);
  row.dataset.said = said;
  put(row, cells(each));
  if (place >= 0) row.querySelectorAll("a, button")[place]?.focus();
}

const named = (name, workflow) =>
  h("th", { scope: "row" }, h("b", name), h("div", link(`workflows/${seg(workflow)}`, workflow)));
const origin = (version) => h("span.faint", version === null ? "made through the API" : `declared in ${version}`);

// --- schedules ---------------------------------------------------------------------------------------------

function scheduleCells(each, again) {
  const [next] = each.next_fire_times;
  return [
    named(each.name, each.workflow_id),
    h(
      "td",
      h("code", each.cron ?? `every ${each.every}`),
      h("div.faint", each.cron && `${each.timezone} · `, origin(each.declared_in)),
    ),
    h("td", time(next), next && h("div.faint", there(next, each.timezone))),
    h(
      "td",
      time(each.last_fire_time),
      each.last_run_id && h("div", link(`runs/${each.last_run_id}`, shortId(each.last_run_id))),
    ),
    h("td", standing(each)),
    h("td", h("div.actions", scheduleActions(each, again))),
  ];
}

/** A time as the clocks of a zone show it. */
const there = (at, timeZone) =>
  new Intl.DateTimeFormat(undefined, {
    weekday: "short",
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
    timeZone,
  }).format(new Date(at));

function standing(each) {
  const notes = [
    each.waiting > 0 && `${plural(each.waiting, "time")} waiting for an open run`,
    each.skipped > 0 && `${plural(each.skipped, "time")} skipped: a run was open`,
  ];
  return [
    h(`span.chip.is-${each.paused ? "cancelled" : "succeeded"}`, each.paused ? "paused" : "on"),
    notes.filter(Boolean).map((note) => h("div.faint", note)),
    each.last_error && h("div.fault", each.last_error),
  ];
}

function scheduleActions(each, again) {
  const [start, publish] = ["execute", "publish"].map((action) =>
    may(action, each.workflow_id) ? null : lacks(action, each.workflow_id),
  );
  return [
    forbid(
      button("Run now", () => act(each, "trigger", again)),
      start,
    ),
    forbid(
      button(each.paused ? "Resume" : "Pause", () => act(each, each.paused ? "resume" : "pause", again)),
      publish,
    ),
  ];
}

const SAYS = {
  trigger: [
    "Run this schedule now",
    "A run starts at once, with the schedule's input, beside those that the schedule starts at its times.",
    "Start a run",
  ],
  pause: [
    "Pause this schedule",
    "It starts nothing until it is resumed; the times it misses meanwhile are not made up for. Open runs go on.",
    "Pause it",
  ],
  resume: ["Resume this schedule", "It starts runs again, from its next time on.", "Resume it"],
};

function act({ schedule_id: id }, action, again) {
  const [title, says, label] = SAYS[action];
  const path = `/v1/schedules/${seg(id)}/${action}`;
  ask(title, {
    says: [`${id}. ${says}`],
    label,
    request: () => ({
      method: "POST",
      path,
      python: action === "trigger" ? `await client.trigger(${py(id)})` : `await client.request("POST", ${py(path)})`,
    }),
    done: (answer) => {
      if (action === "trigger") return go(`runs/${answer.run_id}`);
      notice(action === "pause" ? "The schedule is paused" : "The schedule is on again");
      return again().catch(complain);
    },
  });
}

// --- webhooks ----------------------------------------------------------------------------------------------

function webhookCells(each) {
  const url = location.origin + address(each.path);
  return [
    named(each.name, each.workflow_id),
    h("td", h("code", each.path), copyButton(url, "address"), h("div", origin(each.declared_in))),
    h(
      "td",
      h("code", each.signature_header),
      each.timestamp_header && h("div.faint", `with ${each.timestamp_header}, at most ${each.tolerance} old`),
    ),
    h("td", h("code", each.delivery)),
  ];
}
