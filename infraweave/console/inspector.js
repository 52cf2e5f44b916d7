// The inspector: one node of a run, or the run itself where none is chosen.

import { get, query, seg } from "./api.js";
import { actionButton, rerun } from "./actions.js";
import { answerForm } from "./answer.js";
import { link } from "./navigation.js";
import { h, put } from "./dom.js";
import { count, dollars, exact, plural, span } from "./format.js";
import { jsonView } from "./json.js";
import { lacks, may } from "./session.js";
import { chip, complain, copyButton, field, iconButton, tabs, time } from "./widgets.js";

const ROWS = 200;

/** Make an inspector; `close` is called to show the run again, `changed(tab)` when a tab is chosen. */
export function inspector(close, changed) {
  const box = h("aside.inspector", { "aria-label": "Inspector" });
  let tab = "overview",
    shown = null,
    rows = [],
    at = null,
    turn = 0;

  /** Show a node: its rows are read from the history, failures first in the picker. */
  async function node(run, document, model, name, wanted = null) {
    const mine = ++turn,
      fresh = shown !== name;
    shown = name;
    if (fresh) {
      rows = [];
      at = wanted;
      drawNode(run, document, model, name);
    }
    try {
      const { history, next_cursor: more } = await get(`/v1/runs/${seg(run.run_id)}/history`, {
        node: name,
        limit: ROWS,
      });
      const failed = more
        ? (await get(`/v1/runs/${seg(run.run_id)}/history`, { node: name, state: "failed", limit: ROWS })).history
        : [];
      if (mine !== turn) return;
      rows = [
        ...failed.filter((each) => !history.some((known) => known.first_seq === each.first_seq)),
        ...history,
      ].toSorted((a, b) => a.first_seq - b.first_seq);
      rows.more = Boolean(more);
      drawNode(run, document, model, name);
    } catch (error) {
      if (mine === turn) complain(error);
    }
  }

  /** What an attempt was given: an item, also what its map keeps for all of them. */
  function given(row) {
    const ofMap = (each) => each.index === null && each.iteration === row.iteration && each.phase === "forward";
    const whole = row.index === null || row.phase !== "forward" ? null : rows.find(ofMap)?.input;
    return whole ? { ...whole, ...row.input } : row.input;
  }

  function drawNode(run, document, model, name) {
    if (busy(box)) return;
    const definition = document.nodes.find((each) => each.name === name);
    const state = model.nodes.get(name);
    const row = pick();
    const asked = [...model.requests.values()].filter((each) => each.node === name);
    const all = [
      ["overview", "Overview", () => overview(run, definition, state, row, asked)],
      ["input", "Input", () => (row ? jsonView(given(row), "input") : h("p.faint", "It has not begun."))],
      ["output", "Output", () => (row ? jsonView(row.output, "output") : h("p.faint", "There is none yet."))],
      ["trace", "Trace", () => trace(run)],
      ...(row?.error || state.error ? [["error", "Error", () => failure(row, state, definition)]] : []),
      ["events", "Events", () => events(run, name)],
    ];
    const [bar, panel] = tabs(all, tab, (id) => {
      tab = id;
      changed(id);
    });
    put(
      box,
      h(
        "header",
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
      ),
      picker(run, document, model, name),
      bar,
      panel,
    );
  }

  const pick = () =>
    rows.find((row) => row.first_seq === at) ??
    rows.find((row) => row.phase === "forward" && row.state === "failed" && row === lastOf(row)) ??
    rows.findLast((row) => row.phase === "forward" && row.index === null) ??
    rows.findLast((row) => row.phase === "forward") ??
    rows.at(-1) ??
    null;
  const lastOf = (row) =>
    rows.findLast((each) => each.iteration === row.iteration && each.index === row.index && each.phase === row.phase);

  function picker(run, document, model, name) {
    if (rows.length < 2) return null;
    const ordered = [
      ...rows.filter(({ state }) => state === "failed"),
      ...rows.filter(({ state }) => state !== "failed"),
    ];
    const chosen = pick();
    return h(
      "div.picker",
      h("label", { for: "execution" }, "Execution"),
      h(
        "select",
        {
          id: "execution",
          onchange: (event) => {
            at = Number(event.target.value);
            drawNode(run, document, model, name);
          },
        },
        ordered.map((row) => h("option", { value: row.first_seq, selected: row === chosen }, title(row))),
      ),
      rows.more && h("span.faint", `of the first ${count(ROWS)}, and failures`),
    );
  }

  function overview(run, definition, state, row, asked) {
    const form = asked.map((each) => h("section.asked", h("h3", each.prompt), request(run, each)));
    return [
      ...form,
      h(
        "dl",
        row && [
          field("Status", chip(row.state)),
          field("Started", [exact(row.started_at), " ", time(row.started_at)]),
          field("Latency", span(row.latency_ms)),
          field("Attempt", `${row.attempt}${most(definition)}`),
        ],
        row?.child_run_id && field("Child run", link(`runs/${row.child_run_id}`, row.child_run_id)),
        row?.tokens > 0 && field("Tokens", count(row.tokens)),
        row?.cost_micro_usd > 0 && field("Cost", dollars(row.cost_micro_usd)),
        field("Kind", definition.kind.replace("_", " ")),
        definition.timeout && field("Timeout", span(definition.timeout * 1000)),
        state.wakeAt && state.state === "waiting" && field("Until", [exact(state.wakeAt), " ", time(state.wakeAt)]),
        state.total !== null &&
          field(
            "Items",
            `${count(state.done)} of ${count(state.total)}${state.failed ? `, ${count(state.failed)} failed` : ""}`,
          ),
      ),
      rows.length > 1 &&
        h(
          "table.executions",
          h(
            "thead",
            h(
              "tr",
              ["Execution", "Outcome", "Duration"].map((each) => h("th", { scope: "col" }, each)),
            ),
          ),
          h(
            "tbody",
            rows
              .slice(0, 60)
              .map((each) =>
                h(
                  "tr",
                  { "aria-current": each === row ? "true" : null },
                  h("td", title(each, false)),
                  h("td", chip(each.state)),
                  h("td.num", span(each.latency_ms)),
                ),
              ),
          ),
        ),
      rows.length > 60 && h("p.faint", `and ${plural(rows.length - 60, "more row")}`),
    ];
  }

  function request(run, asked) {
    const hindrance = may("signal", run.workflow_id) ? null : lacks("signal", run.workflow_id);
    return answerForm(asked, run.run_id, () => {}, hindrance);
  }

  function trace(run) {
    if (!rows.length) return h("p.faint", "It has not begun.");
    const from = Math.min(...rows.map((row) => Date.parse(row.started_at))),
      to = Math.max(...rows.map((row) => Date.parse(row.finished_at ?? row.started_at)), from + 1);
    return [
      h("p.faint", "Trace ", h("code", run.trace_id), copyButton(run.trace_id, "trace id")),
      h(
        "ol.spans",
        rows.slice(0, 100).map((row) => {
          const bar = h(`span.bar.is-${row.state}`);
          const began = Date.parse(row.started_at),
            took = (row.finished_at ? Date.parse(row.finished_at) : Date.now()) - began;
          bar.style.left = `${(100 * (began - from)) / (to - from)}%`;
          bar.style.width = `max(2px, ${(100 * took) / (to - from)}%)`;
          return h(
            "li",
            h("div", title(row, false), " ", h("code.faint", row.span_id)),
            h("div.track", bar),
            h("div.num", span(row.latency_ms)),
          );
        }),
      ),
    ];
  }

  function failure(row, state, definition) {
    const error = row?.error ?? state.error;
    return [
      h(
        "dl",
        field("Code", h("code", error.code)),
        field("Attempt", `${row?.attempt ?? state.error.attempt}${most(definition)}`),
        state.state === "retrying" &&
          state.retryAt &&
          field("Next attempt", [time(state.retryAt), " at ", exact(state.retryAt)]),
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

  function events(run, name) {
    const list = h("div", h("p.faint", "Reading…"));
    eventsOf(run, name).then(
      (found) =>
        put(
          list,
          found.length
            ? found.map((event) =>
                h(
                  "details.event",
                  h("summary", h("span.num", `${event.seq}`), ` ${event.type} `, time(event.at)),
                  jsonView(event, "event"),
                ),
              )
            : h("p.faint", "There are none yet."),
        ),
      complain,
    );
    return list;
  }

  return {
    box,
    node,
    forget() {
      shown = null;
      turn += 1;
    },
    openOn(id) {
      tab = id;
    },
    redraw: (run, document, model) => {
      if (shown) node(run, document, model, shown);
    },
  };
}

/** Whether a person is typing in it: then it is not drawn anew. */
export const busy = (box) =>
  box.contains(document.activeElement) && document.activeElement.matches("input,textarea,select");

/** How many attempts a node has; documents leave out what is the default. */
function most({ kind, retry }) {
  if (["human_input", "signal", "timer"].includes(kind)) return "";
  return ` of ${retry ? (retry.max_attempts ?? 3) : kind === "subworkflow" ? 1 : 3}`;
}

function title(row, state = true) {
  const parts = [
    row.phase === "compensation" && "undo",
    row.iteration > 1 && `iteration ${row.iteration}`,
    row.index !== null && `item ${row.index}`,
    `attempt ${row.attempt}`,
    state && row.state,
  ].filter(Boolean);
  return parts.join(" · ");
}

/** The events of one node, with their payloads; up to ten thousand events of the run are looked through. */
async function eventsOf(run, name, most = 200) {
  const found = [];
  let after = 0;
  for (let page = 0; page < 10 && found.length < most; page += 1) {
    const answer = await get(query(`/v1/runs/${seg(run.run_id)}/events`, { after, limit: 1000, include: "payloads" }));
    found.push(
      ...answer.events.filter(
        (event) => event.node === name || (event.type === "signal_received" && event.name === name),
      ),
    );
    if (!answer.events.length || answer.next_after === after) break;
    after = answer.next_after;
  }
  return found.slice(0, most);
}
