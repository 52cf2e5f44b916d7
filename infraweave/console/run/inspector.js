// The inspector: one node of a run. What changed is drawn anew, and only that: a live run does not take away what
// somebody reads, chooses or types.

import { actionButton, rerun } from "./actions.js";
import { get, query, seg } from "../lib/api.js";
import { showAsked } from "./input_requests.js";
import { attemptOf, isInterrupted, outcome } from "./attempts.js";
import { follow, h, put } from "../lib/dom.js";
import { count, dollars, exact, plural, span } from "../lib/format.js";
import { jsonView } from "../lib/json_view.js";
import { print } from "../lib/lossless_json.js";
import { link } from "../lib/router.js";
import { chip, complain, copyButton, field, heads, iconButton, tabs, time } from "../lib/widgets.js";

/** Rows of the history that are read, and those of them that the overview lists. */
const ROWS = 200,
  LISTED = 60;
/** Events of a node that are shown, pages of a thousand of its run's events that are looked through for them. */
const EVENTS = 200,
  PAGES = 10;
const GOING = new Set(["running", "waiting"]);

/** Make an inspector; `close` is called to show the run again, `changed(tab)` when a tab is chosen. */
export function inspector(close, changed) {
  const box = h("aside.inspector", { "aria-label": "Inspector" });
  const heading = part(
    () => [view.name, view.state.state, view.run.finished_at],
    () => head(view, close),
  );
  const select = h("select", { id: "execution", onchange: (event) => choose(Number(event.target.value)) });
  const cut = h("span.faint");
  const picker = h("div.picker", h("label", { for: "execution" }, "Execution"), select, cut);
  const tabbed = part(
    () => [view.name, tabsOf(view).map(([id]) => id)],
    () => tabs(withParts(tabsOf(view)), tab, turnTo),
  );
  put(box, h("header", heading.box), picker, tabbed.box);
  let tab = "overview",
    turn = 0,
    current = null,
    view = null;

  /** Show a node of a run: what is known of it at once, then what the history says. */
  async function node(run, document, model, name) {
    const mine = ++turn;
    if (view?.name !== name) view = { name, rows: [], at: null, told: { events: [], after: 0 } };
    const definition = document.nodes.find((each) => each.name === name);
    Object.assign(view, { run, definition, model, state: model.nodes.get(name) });
    draw();
    try {
      const rows = await history(run, name);
      if (mine !== turn) return;
      view.rows = rows;
      draw();
    } catch (error) {
      if (mine === turn) complain(error);
    }
  }

  function turnTo(id) {
    tab = id;
    changed(id);
  }

  function choose(seq) {
    view.at = seq;
    draw();
  }

  function draw() {
    view.row = pick(view);
    heading.update();
    drawPicker();
    tabbed.update();
    current.update();
  }

  /** Show what the events say before the history is asked again. */
  function tick() {
    if (!current || current.asks) return;
    heading.update();
    current.update();
  }

  /** Failures first; the list stays where it is while somebody chooses from it. */
  function drawPicker() {
    const failed = view.rows.filter(({ state }) => state === "failed");
    const ordered = [...failed, ...view.rows.filter(({ state }) => state !== "failed")];
    picker.hidden = view.rows.length < 2;
    cut.textContent = view.rows.more ? `of the first ${count(ROWS)}, and failures` : "";
    const make = (row) => h("option", { value: row.first_seq });
    follow(
      select,
      ordered,
      (row) => row.first_seq,
      make,
      (option, row) => put(option, title(row)),
    );
    select.value = String(view.row?.first_seq ?? "");
  }

  /** The tabs, of which the one that is shown is brought up to date. */
  const withParts = (all) =>
    all.map(([id, label, make]) => [
      id,
      label,
      () => {
        current = make(view);
        current.update();
        return current.box;
      },
    ]);

  return {
    box,
    node,
    tick: () => view && tick(),
    forget() {
      view = null;
      turn += 1;
    },
    openOn(id) {
      tab = id;
    },
    redraw: (run, document, model) => view && node(run, document, model, view.name),
  };
}

/** A part of the page that is built anew where `value()` is another one than the last time. */
function part(value, build) {
  const box = h("div.part");
  let last = null;
  return {
    box,
    update() {
      const now = print(value());
      if (now === last) return;
      last = now;
      put(box, build());
    },
  };
}

/** The rows of a node: the first ones, those that failed, and those that go on. */
async function history(run, name) {
  const path = `/v1/runs/${seg(run.run_id)}/history`;
  const { history: first, next_cursor: more } = await get(path, { node: name, limit: ROWS });
  const others = more ? ["failed", ...(run.finished_at ? [] : GOING)] : [];
  const found = await Promise.all(others.map((state) => get(path, { node: name, state, limit: ROWS })));
  const rows = new Map([first, ...found.map((page) => page.history)].flat().map((row) => [row.first_seq, row]));
  return Object.assign(
    [...rows.values()].sort((a, b) => a.first_seq - b.first_seq),
    { more: Boolean(more) },
  );
}

/** The row that is chosen, or that tells most: what failed in the end, else what came last of all of it. */
function pick({ rows, at }) {
  const forward = rows.filter(({ phase }) => phase === "forward");
  const last = new Map(forward.map((row) => [`${row.iteration}|${row.index}`, row]));
  const isFinal = (row) => row === last.get(`${row.iteration}|${row.index}`);
  return (
    rows.find((row) => row.first_seq === at) ??
    forward.find((row) => row.state === "failed" && isFinal(row) && !row.retry_at) ??
    forward.findLast((row) => row.index === null) ??
    forward.at(-1) ??
    rows.at(-1) ??
    null
  );
}

const head = ({ name, state, run }, close) => [
  h("h2", name),
  chip(state.state),
  h("div.spring"),
  actionButton(
    "Rerun from here",
    "execute",
    () => run,
    (each) => rerun(each, name),
    { possible: run.finished_at !== null, why: "Only a run that has ended can be run again." },
  ),
  iconButton("close", "Show the run", close),
];

const none = (told) => h("p.faint", told);

/** [id, label, make(view)] of each tab; what is made has a box and update(). */
const tabsOf = ({ row, state }) => [
  ["overview", "Overview", overview],
  ["input", "Input", (view) => value(view, "input", given, "It has not begun.")],
  ["output", "Output", (view) => value(view, "output", (each) => each.row.output, "There is none yet.")],
  ["trace", "Trace", trace],
  ...(row?.error || state.error ? [["error", "Error", failure]] : []),
  ["events", "Events", events],
];

const value = (view, what, of, told) =>
  part(
    () => (view.row ? [view.row.first_seq, of(view)] : null),
    () => (view.row ? jsonView(of(view), what) : none(told)),
  );

/** What an attempt was given: an item, also what its map keeps for all of them. */
function given({ row, rows }) {
  const ofMap = (each) => each.index === null && each.iteration === row.iteration && each.phase === "forward";
  const whole = row.index === null || row.phase !== "forward" ? null : rows.find(ofMap)?.input;
  return whole ? { ...whole, ...row.input } : row.input;
}

// --- overview ------------------------------------------------------------------------------------------------

function overview(view) {
  const asked = h("div.part");
  const facts = part(
    () => [
      view.row?.first_seq,
      view.row?.state,
      view.row && attemptOf(view.row, view.rows, view.definition),
      view.state,
    ],
    () => h("dl", factsOf(view)),
  );
  const table = part(
    () => [view.rows.map((row) => [row.first_seq, outcome(row), row.latency_ms]), view.row?.first_seq],
    () => executions(view),
  );
  const requests = () => [...view.model.requests.values()].filter(({ node }) => node === view.name);
  return {
    box: h("div.part", asked, facts.box, table.box),
    update() {
      showAsked(asked, view.run, requests(), () => {});
      facts.update();
      table.update();
    },
  };
}

const factsOf = ({ row, rows, definition, state }) => [
  row && [
    field("Status", chip(outcome(row))),
    field("Started", [exact(row.started_at), " ", time(row.started_at)]),
    field(isInterrupted(row) ? "Interrupted after" : "Latency", tookText(row)),
    field("Attempt", attemptOf(row, rows, definition)),
  ],
  row?.child_run_id && field("Child run", link(`runs/${row.child_run_id}`, row.child_run_id)),
  row?.tokens > 0 && field("Tokens", count(row.tokens)),
  row?.cost_micro_usd > 0 && field("Cost", dollars(row.cost_micro_usd)),
  field("Kind", definition.kind.replace("_", " ")),
  definition.timeout && field("Timeout", span(definition.timeout * 1000)),
  state.wakeAt && state.state === "waiting" && field("Until", [exact(state.wakeAt), " ", time(state.wakeAt)]),
  state.total !== null && field("Items", itemsOf(state)),
];

const itemsOf = ({ done, total, failed }) =>
  `${count(done)} of ${count(total)}${failed ? `, ${count(failed)} failed` : ""}`;

/** The rows as a table; of a map's, those that go on and those that failed come first. */
function executions({ rows, row, definition }) {
  if (rows.length < 2) return null;
  const rank = ({ state }) => (GOING.has(state) ? 0 : state === "failed" ? 1 : 2);
  const ordered = definition.kind === "map" ? rows.toSorted((a, b) => rank(a) - rank(b)) : rows;
  const line = (each) =>
    h(
      "tr",
      { "aria-current": each === row ? "true" : null },
      h("td", title(each, false)),
      h("td", chip(outcome(each))),
      h("td.num", tookText(each)),
    );
  return [
    h(
      "table.executions",
      heads(["Execution", "Outcome", "Duration"], ["Duration"]),
      h("tbody", ordered.slice(0, LISTED).map(line)),
    ),
    rows.length > LISTED && none(`and ${plural(rows.length - LISTED, "more row")}`),
  ];
}

/** How long an attempt took; of one that a crash cut off, when it was taken up again is all that is known. */
function tookText(row) {
  if (row.latency_ms || !isInterrupted(row)) return span(row.latency_ms);
  return `at most ${span(Date.parse(row.finished_at) - Date.parse(row.started_at))}`;
}

// --- the other tabs ------------------------------------------------------------------------------------------

const trace = (view) =>
  part(
    () => view.rows.map((row) => [row.first_seq, outcome(row), row.finished_at]),
    () => (view.rows.length ? spans(view) : none("It has not begun.")),
  );

function spans({ run, rows }) {
  const from = Math.min(...rows.map((row) => Date.parse(row.started_at))),
    to = Math.max(...rows.map((row) => (row.finished_at ? Date.parse(row.finished_at) : Date.now())), from + 1);
  const bar = (row) => {
    const drawn = h(`span.bar.is-${outcome(row)}`);
    const began = Date.parse(row.started_at);
    const took = (row.finished_at ? Date.parse(row.finished_at) : Date.now()) - began;
    drawn.style.left = `${(100 * (began - from)) / (to - from)}%`;
    drawn.style.width = `max(2px, ${(100 * took) / (to - from)}%)`;
    return drawn;
  };
  const line = (row) =>
    h(
      "li",
      h("div", title(row, false), " ", h("code.faint", row.span_id)),
      h("div.track", bar(row)),
      h("div.num", tookText(row)),
    );
  return [
    h("p.faint", "Trace ", h("code", run.trace_id), copyButton(run.trace_id, "trace id")),
    h("ol.spans", rows.slice(0, 100).map(line)),
  ];
}

const failure = (view) =>
  part(
    () => [view.row?.first_seq, view.row?.error ?? view.state.error, view.state.state, view.state.retryAt],
    () => failed(view),
  );

function failed({ row, rows, state, definition }) {
  const error = row?.error ?? state.error;
  const attempt = row?.error ? attemptOf(row, rows, definition) : String(error.attempt ?? "–");
  const next = state.state === "retrying" && state.retryAt;
  return [
    h(
      "dl",
      field("Code", h("code", error.code)),
      field("Attempt", attempt),
      next && field("Next attempt", [time(state.retryAt), " at ", exact(state.retryAt)]),
    ),
    h("pre.message", error.message),
    h("div", copyButton(error.message, "message")),
    error.traceback && [
      h("h3", "Where"),
      h("pre.traceback", error.traceback),
      h("div", copyButton(error.traceback, "traceback")),
    ],
  ];
}

/** The events of a node, read on from the last one that was looked at. */
function events(view) {
  const list = h("div.part"),
    told = none("Reading…"),
    box = h("div.part", list, told);
  const show = () => {
    const shown = view.told.events.slice(0, EVENTS);
    follow(list, shown, (event) => event.seq, line);
    const more = view.told.events.length > EVENTS && `The first ${count(EVENTS)} events.`;
    told.textContent = more || (shown.length ? "" : "There are none yet.");
  };
  let reading = false;
  return {
    box,
    asks: true,
    async update() {
      if (reading || view.told.after >= view.model.seq || view.told.events.length > EVENTS) return show();
      reading = true;
      try {
        await readOn(view.run, view.name, view.told);
        show();
      } catch (error) {
        complain(error);
      } finally {
        reading = false;
      }
    },
  };
}

const line = (event) =>
  h(
    "details.event",
    h("summary", h("span.num", `${event.seq}`), ` ${event.type} `, time(event.at)),
    jsonView(event, "event"),
  );

/** Read on in a run's events, with their payloads; keep those of a node. */
async function readOn(run, name, told) {
  const isItsOwn = (event) => event.node === name || (event.type === "signal_received" && event.name === name);
  const path = `/v1/runs/${seg(run.run_id)}/events`;
  for (let page = 0; page < PAGES && told.events.length <= EVENTS; page += 1) {
    const answer = await get(query(path, { after: told.after, limit: 1000, include: "payloads" }));
    told.events.push(...answer.events.filter(isItsOwn));
    if (!answer.events.length || answer.next_after === told.after) break;
    told.after = answer.next_after;
  }
}

function title(row, state = true) {
  const parts = [
    row.phase === "compensation" && "undo",
    row.iteration > 1 && `iteration ${row.iteration}`,
    row.index !== null && `item ${row.index}`,
    row.index === null && row.kind === "map" && "all items",
    `attempt ${row.attempt}`,
    state && outcome(row),
  ].filter(Boolean);
  return parts.join(" · ");
}
