// The runs: a live list, newest first, filtered by the address.

import { call, get, known, seg, stream } from "../lib/api.js";
import { countApprovals } from "../lib/approval_badge.js";
import { go, link, setQuery } from "../lib/router.js";
import { cancel, rerun } from "../run/actions.js";
import { atMostEvery, follow, h, put } from "../lib/dom.js";
import { compact, dollars, plural, shortId, span } from "../lib/format.js";
import { may } from "../lib/session.js";
import { startDialog } from "../run/start_dialog.js";
import { button, chip, complain, dialog, empty, icon, notice, setAside, time } from "../lib/widgets.js";

const STATES = ["queued", "running", "retrying", "succeeded", "failed", "cancelled"];
const TRIGGERS = ["api", "console", "cli", "schedule", "webhook", "subworkflow"];
const NAMES = [
  "status",
  "workflow_id",
  "workflow_version",
  "trigger",
  "tag",
  "started_after",
  "started_before",
  "parent_run_id",
];
const PAGE = 100;
/** Pixels before its end at which the list is read on. */
const AHEAD = 600;
const ENDED = new Set(["succeeded", "failed", "cancelled"]);

export async function open(main, parameters) {
  const filters = Object.fromEntries(NAMES.map((name) => [name, parameters.get(name) ?? ""]));
  let runs = [],
    next = null,
    picked = new Set(),
    marked = null,
    gone = false,
    turn = 0;
  const chips = h("div.chips", { role: "group", "aria-label": "States" });
  const rows = h("div.run-rows", { role: "rowgroup" }),
    foot = h("div.foot"),
    bulk = h("div.bulk", { hidden: true }),
    live = h("span.live", { role: "status" });
  const search = h("input", {
    type: "search",
    placeholder: "Workflow, run, key:value",
    "aria-label": "Search runs",
    title: "Press / to come here",
    value: filters.tag || filters.workflow_id,
    onchange: (event) => find(event.target.value.trim()),
  });
  const choice = (name, label, options) =>
    h(
      "label",
      h("span.sr", label),
      h(
        "select",
        { "aria-label": label, onchange: (event) => set({ [name]: event.target.value }) },
        options.map(([value, text]) => h("option", { value, selected: filters[name] === value }, text)),
      ),
    );
  const more = h(
    "details.more",
    {
      open: Boolean(
        filters.parent_run_id || filters.started_after || filters.started_before || filters.workflow_version,
      ),
    },
    h("summary", "More filters"),
    h(
      "div",
      choice("parent_run_id", "Children", [
        ["", "All runs"],
        ["none", "Top-level only"],
        ...(filters.parent_run_id.startsWith("run_")
          ? [[filters.parent_run_id, `Children of ${shortId(filters.parent_run_id)}`]]
          : []),
      ]),
      moment("started_after", "Started after"),
      moment("started_before", "Started before"),
      h(
        "label",
        "Version ",
        h("input", {
          type: "text",
          value: filters.workflow_version,
          onchange: (event) => set({ workflow_version: event.target.value.trim() }),
        }),
      ),
    ),
  );
  const head = ["", "State", "Run", "Workflow", "Trigger", "Created", "Took", "Cost"].map((name) =>
    h("span", { role: "columnheader" }, name || h("span.sr", "Choose")),
  );
  const table = h(
    "div.runs",
    { role: "table", "aria-label": "Runs" },
    h("div.run-row.head", { role: "row" }, head),
    rows,
  );
  put(
    main,
    h(
      "header.page",
      h("h1", "Runs"),
      live,
      h("div.spring"),
      button("Start a run", () => startDialog(filters.workflow_id), { kind: "primary", sign: "plus" }),
    ),
    h(
      "div.filters",
      chips,
      h("div.spring"),
      search,
      choice("trigger", "Trigger", [["", "Any trigger"], ...TRIGGERS.map((each) => [each, each])]),
      more,
    ),
    bulk,
    table,
    foot,
  );

  function moment(name, label) {
    const local = filters[name]
      ? new Date(Date.parse(filters[name]) - new Date().getTimezoneOffset() * 60_000).toISOString().slice(0, 16)
      : "";
    return h(
      "label",
      `${label} `,
      h("input", {
        type: "datetime-local",
        value: local,
        onchange: (event) => set({ [name]: event.target.value ? new Date(event.target.value).toISOString() : "" }),
      }),
    );
  }
  function find(text) {
    if (/^run_\w+$/.test(text)) return go(`runs/${text}`);
    return set(text.includes(":") ? { tag: text, workflow_id: "" } : { workflow_id: text, tag: "" });
  }
  function set(changes) {
    Object.assign(filters, changes);
    setQuery(filters);
    picked.clear();
    load();
  }
  /** List anew, as many runs at least as `wanted`: who has scrolled down stays where they are. */
  async function load(wanted = PAGE) {
    const mine = ++turn;
    try {
      let found = [],
        cursor = null;
      const counting = tally();
      do {
        const page = await get("/v1/runs", {
          ...filters,
          limit: Math.min(200, Math.max(wanted - found.length, PAGE)),
          cursor,
        });
        if (mine !== turn || gone) return;
        found = found.concat(page.runs);
        cursor = page.next_cursor;
      } while (cursor && found.length < wanted);
      await counting;
      [runs, next] = [found, cursor];
      draw();
    } catch (error) {
      if (mine === turn) {
        put(foot, h("p.fault", { role: "alert" }, error.message));
        if (!known(error)) throw error;
      }
    }
  }
  async function loadMore() {
    if (!next) return;
    const mine = turn,
      cursor = next;
    next = null;
    try {
      const page = await get("/v1/runs", { ...filters, limit: PAGE, cursor });
      if (mine !== turn) return;
      runs.push(...page.runs.filter((run) => !runs.some((known) => known.run_id === run.run_id)));
      next = page.next_cursor;
      draw();
    } catch (error) {
      next = cursor;
      complain(error);
    }
  }
  async function tally() {
    const { status, ...rest } = filters;
    const { counts } = await get("/v1/runs/counts", rest);
    const chosen = new Set(filters.status ? filters.status.split(",") : []);
    follow(
      chips,
      STATES,
      (state) => state,
      (state) =>
        h("button.state", {
          type: "button",
          onclick: () => {
            const now = new Set(filters.status ? filters.status.split(",") : []);
            if (!now.delete(state)) now.add(state);
            set({ status: STATES.filter((each) => now.has(each)).join(",") });
          },
        }),
      (element, state) => {
        element.setAttribute("aria-pressed", String(chosen.has(state)));
        element.className = `state is-${state}`;
        put(element, icon(state), state, h("b", compact(counts[state])));
      },
    );
  }
  function draw() {
    follow(rows, runs, (run) => run.run_id, make, update);
    const filtered = NAMES.some((name) => filters[name]);
    put(
      foot,
      !runs.length &&
        (filtered
          ? empty(
              "No run matches",
              "Take a filter away.",
              button("Clear the filters", () => {
                for (const name of NAMES) filters[name] = "";
                search.value = "";
                set({});
              }),
            )
          : empty(
              "No runs yet",
              "Start one here, or through the API.",
              button("Start a run", () => startDialog(""), { kind: "primary" }),
            )),
      next && button("Load more", loadMore),
    );
    drawBulk();
    if (next && foot.getBoundingClientRect().top < innerHeight + AHEAD) loadMore();
  }
  function make(run) {
    const tick = h("input", {
      type: "checkbox",
      "aria-label": `Choose ${run.run_id}`,
      onclick: (event) => event.stopPropagation(),
      onchange: (event) => {
        if (event.target.checked) picked.add(run.run_id);
        else picked.delete(run.run_id);
        drawBulk();
      },
    });
    return h(
      "div.run-row",
      {
        role: "row",
        onclick: (event) => {
          if (!event.target.closest("a,input,button")) go(`runs/${run.run_id}`);
        },
      },
      h("span", { role: "cell" }, tick),
      Array.from({ length: 7 }, () => h("span", { role: "cell" })),
    );
  }
  function update(element, run) {
    const stamp = `${run.state}|${run.last_seq}|${run.cancel_requested}|${run.set_aside}`;
    element.classList.toggle("chosen", run.run_id === marked);
    element.firstChild.firstChild.checked = picked.has(run.run_id);
    if (element.dataset.stamp === stamp) return;
    element.dataset.stamp = stamp;
    const [, state, id, workflow, trigger, created, took, cost] = element.children;
    put(state, chip(run.state, run.cancel_requested && !ENDED.has(run.state) ? "…" : ""));
    put(id, link(`runs/${run.run_id}`, shortId(run.run_id)));
    put(
      workflow,
      h("b", run.workflow_id),
      " ",
      h("span.faint", run.workflow_version),
      run.set_aside && setAside(),
      Object.entries(run.tags).map(([key, value]) => h("span.tag", `${key}:${value}`)),
      run.error && h("span.why", run.error.message),
    );
    put(trigger, run.trigger);
    put(created, time(run.created_at));
    put(
      took,
      run.started_at
        ? span((run.finished_at ? Date.parse(run.finished_at) : Date.now()) - Date.parse(run.started_at))
        : "–",
    );
    put(
      cost,
      run.usage.cost_micro_usd ? dollars(run.usage.cost_micro_usd) : "",
      run.usage.tokens ? h("span.faint", ` ${compact(run.usage.tokens)} tok`) : "",
    );
  }
  function drawBulk() {
    bulk.hidden = picked.size === 0;
    const chosen = runs.filter((run) => picked.has(run.run_id));
    const open = chosen.filter((run) => !ENDED.has(run.state) && may("cancel", run.workflow_id));
    const single = chosen.length === 1 ? chosen[0] : null;
    put(
      bulk,
      plural(picked.size, "run"),
      " chosen",
      open.length > 0 && button(`Cancel ${plural(open.length, "run")}`, () => cancelMany(open), { kind: "primary" }),
      single && ENDED.has(single.state) && may("execute", single.workflow_id) && button("Rerun", () => rerun(single)),
      button(
        "None",
        () => {
          picked.clear();
          draw();
        },
        { kind: "quiet" },
      ),
    );
  }
  function cancelMany(open) {
    if (open.length === 1) return cancel(open[0], reload);
    dialog(`Cancel ${plural(open.length, "run")}`, (close) =>
      h(
        "div",
        h("p", "What is in flight is asked to stop, then what has completed is undone where its author said how."),
        h(
          "footer",
          h("div.spring"),
          button("Keep them", close),
          button(
            `Cancel ${plural(open.length, "run")}`,
            async () => {
              close();
              const answers = await Promise.allSettled(
                open.map((run) => call("POST", `/v1/runs/${seg(run.run_id)}/cancel`, { body: {} })),
              );
              const wrong = answers.filter(({ status }) => status === "rejected");
              notice(
                wrong.length
                  ? `${wrong.length} of ${open.length} could not be cancelled: ${wrong[0].reason.message}`
                  : `${plural(open.length, "run")} cancelled`,
                wrong.length ? "bad" : "good",
              );
              picked.clear();
              reload();
            },
            { kind: "primary" },
          ),
        ),
      ),
    );
  }

  /** Take in a run that changed: in place, or on top where it is new and passes the filters. */
  function changed(run) {
    const at = runs.findIndex((each) => each.run_id === run.run_id);
    const fits = matches(run, filters);
    if (at >= 0 && fits) runs[at] = run;
    else if (at >= 0) runs.splice(at, 1);
    else if (fits && (!runs.length || run.run_id > runs[0].run_id)) runs.unshift(run);
    else if (fits && run.run_id > (runs.at(-1)?.run_id ?? ""))
      runs.splice(
        runs.findIndex((each) => each.run_id < run.run_id),
        0,
        run,
      );
    redraw();
    tallySoon();
  }
  const redraw = atMostEvery(150, () => {
    if (!gone) draw();
  });
  const tallySoon = atMostEvery(1500, () => {
    if (!gone) {
      tally().catch(complain);
      countApprovals();
    }
  });
  const reload = atMostEvery(2000, () => {
    if (!gone) load(runs.length);
  });
  function keys(event) {
    if (
      event.target.matches("input,select,textarea") ||
      document.querySelector("dialog[open]") ||
      event.metaKey ||
      event.ctrlKey ||
      event.altKey
    )
      return;
    const at = runs.findIndex((run) => run.run_id === marked);
    if (event.key === "/") {
      event.preventDefault();
      search.focus();
    } else if (event.key === "j" || event.key === "k")
      mark(runs[Math.min(runs.length - 1, Math.max(0, at + (event.key === "j" ? 1 : -1)))]);
    else if (event.key === "x" && marked) {
      if (!picked.delete(marked)) picked.add(marked);
      draw();
    } else if (event.key === "Enter" && marked && !event.target.matches("a,button,summary")) go(`runs/${marked}`);
  }
  function mark(run) {
    if (!run) return;
    marked = run.run_id;
    draw();
    const row = rows.querySelector(".chosen");
    row?.scrollIntoView({ block: "nearest" });
    row?.querySelector("a").focus({ preventScroll: true });
  }
  const seen = new IntersectionObserver(
    ([entry]) => {
      if (entry.isIntersecting) loadMore();
    },
    { rootMargin: `${AHEAD}px` },
  );
  await load();
  if (!main.isConnected) return null;
  document.addEventListener("keydown", keys);
  seen.observe(foot);
  stream("/v1/runs/changes", {
    open: () => {
      const was = live.classList.contains("lost");
      live.textContent = "live";
      live.className = "live";
      if (was) reload();
    },
    event: (type, run) => (type === "run_changed" ? changed(run) : reload()),
    lost: (error) => {
      live.textContent = error.status ? error.message : "reconnecting…";
      live.className = "live lost";
    },
  });
  const beat = setInterval(
    () =>
      [...rows.children].forEach((row, at) => {
        const run = runs[at];
        if (run?.started_at && !run.finished_at && run.run_id === row.dataset.key)
          put(row.children[6], span(Date.now() - Date.parse(run.started_at)));
      }),
    1000,
  );
  const shown = () => {
    if (!document.hidden) reload();
  };
  document.addEventListener("visibilitychange", shown);
  return () => {
    gone = true;
    clearInterval(beat);
    seen.disconnect();
    document.removeEventListener("keydown", keys);
    document.removeEventListener("visibilitychange", shown);
  };
}

function matches(run, filters) {
  const started = run.started_at && Date.parse(run.started_at);
  return (
    (!filters.status || filters.status.split(",").includes(run.state)) &&
    ["workflow_id", "workflow_version", "trigger"].every((name) => !filters[name] || run[name] === filters[name]) &&
    (!filters.parent_run_id || (run.parent_run_id ?? "none") === filters.parent_run_id) &&
    (!filters.tag ||
      run.tags[filters.tag.slice(0, filters.tag.indexOf(":"))] === filters.tag.slice(filters.tag.indexOf(":") + 1)) &&
    (!filters.started_after || (started && started > Date.parse(filters.started_after))) &&
    (!filters.started_before || (started && started < Date.parse(filters.started_before)))
  );
}
