// The overview: how it has gone, for one workflow or all, from the runs table.

import { get } from "../lib/api.js";
import { link, setQuery } from "../lib/router.js";
import { h, put, s } from "../lib/dom.js";
import { bytes, compact, count, dollars, exact, percent, span } from "../lib/format.js";
import { may } from "../lib/session.js";
import { chip, complain, heads, time } from "../lib/widgets.js";

const SPANS = [
  ["24", "24 hours"],
  ["168", "7 days"],
  ["720", "30 days"],
];
const EVERY = 15_000;

export async function open(main, parameters) {
  let workflow = parameters.get("workflow_id") ?? "",
    hours = parameters.get("hours") ?? "24",
    gone = false;
  const { workflows } = await get("/v1/workflows");
  const body = h("div.overview");
  const choice = (label, value, options, set) =>
    h(
      "select",
      {
        "aria-label": label,
        onchange: (event) => {
          set(event.target.value);
          setQuery({ workflow_id: workflow, hours });
          load().catch(complain);
        },
      },
      options.map(([id, text]) => h("option", { value: id, selected: id === value }, text)),
    );
  put(
    main,
    h(
      "header.page",
      h("h1", "Overview"),
      h("div.spring"),
      choice(
        "Workflow",
        workflow,
        [["", "All workflows"], ...workflows.map(({ workflow_id: id }) => [id, id])],
        (next) => {
          workflow = next;
        },
      ),
      choice("Time", hours, SPANS, (next) => {
        hours = next;
      }),
    ),
    body,
  );

  async function load() {
    const since = new Date(Date.now() - Number(hours) * 3_600_000).toISOString();
    const [found, status] = await Promise.all([
      get("/v1/statistics", { workflow_id: workflow, since }),
      may("operate") ? get("/v1/status") : null,
    ]);
    if (!gone)
      put(
        body,
        figures(found, status),
        h("section", h("h2", "Runs per hour"), chart(found.hours)),
        errors(found, workflow),
        slowest(found, workflow),
      );
  }
  await load();
  const beat = setInterval(() => {
    if (!document.hidden) load().catch(() => {});
  }, EVERY);
  return () => {
    gone = true;
    clearInterval(beat);
  };
}

const figure = (label, value, more) =>
  h("div.figure", h("span.faint", label), h("b", value), more && h("small.faint", more));

function figures({ runs, success_rate: rate, duration, usage }, status) {
  return h(
    "div.figures",
    figure(
      "Runs started",
      count(runs.started),
      `${count(runs.succeeded)} succeeded, ${count(runs.failed)} failed, ${count(runs.cancelled)} cancelled`,
    ),
    figure("Success", percent(rate)),
    figure("Duration", span(duration.p50_ms), `median; 95 % within ${span(duration.p95_ms)}`),
    figure(
      "Cost per run",
      dollars(usage.per_run_cost_micro_usd ?? 0),
      `${dollars(usage.cost_micro_usd)} in all, ${compact(usage.tokens)} tokens`,
    ),
    status && [
      figure(
        "Slots",
        `${count(status.slots.taken)} / ${count(status.slots.total)}`,
        `${count(status.queued)} queued, ${count(status.waiting)} waiting`,
      ),
      figure(
        "Database",
        status.database_bytes === null ? "–" : bytes(status.database_bytes),
        `InfraWeave ${status.version}, up ${span(status.uptime_s * 1000)}`,
      ),
    ],
  );
}

/** Bars of ended runs, one for each hour; a table says the same to those who do not see it. */
function chart(hours) {
  const WIDTH = 720,
    HEIGHT = 120,
    STATES = ["succeeded", "failed", "cancelled"];
  const most = Math.max(
    1,
    ...hours.map((hour) =>
      Math.max(
        hour.started,
        STATES.reduce((sum, state) => sum + hour[state], 0),
      ),
    ),
  );
  const step = WIDTH / Math.max(hours.length, 1);
  const bars = hours.flatMap((hour, at) => {
    let y = HEIGHT;
    const stack = STATES.filter((state) => hour[state]).map((state) => {
      const height = (hour[state] / most) * (HEIGHT - 4);
      y -= height;
      return s(`rect.is-${state}`, { x: at * step + step * 0.1, y, width: Math.max(step * 0.8, 0.5), height });
    });
    const ended = STATES.map((state) => `${count(hour[state])} ${state}`).join(", ");
    const told = `${exact(hour.hour)}: ${count(hour.started)} started, ${ended}`;
    return [...stack, s("rect.hit", { x: at * step, y: 0, width: step, height: HEIGHT }, s("title", told))];
  });
  const total = STATES.map((state) => `${count(hours.reduce((sum, hour) => sum + hour[state], 0))} ${state}`).join(
    ", ",
  );
  return [
    h(
      "div.legend",
      STATES.map((state) => chip(state)),
      h("div.spring"),
      h("span.faint", `at most ${count(most)} an hour`),
    ),
    s(
      "svg.chart",
      {
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": `Runs per hour: ${total}`,
      },
      bars,
    ),
    h("div.chart-axis.faint", h("span", hours.length ? exact(hours[0].hour) : ""), h("div.spring"), h("span", "now")),
  ];
}

/** Columns of numbers. */
const FIGURES = ["Count", "Executions", "Failures", "Retries", "Median", "95 %"];
const table = (names, rows) => h("div.scroll-x", h("table.list", heads(names, FIGURES), h("tbody", rows)));

function errors({ errors: found }) {
  return h(
    "section",
    h("h2", "Errors"),
    found.length
      ? table(
          ["Code", "Node", "Kind", "Count", "Last"],
          found.map((each) =>
            h(
              "tr",
              h("td", h("code", each.code)),
              h("td", each.node ?? "–"),
              h("td", each.final ? "ended a run" : each.tolerated ? "tolerated" : "retried"),
              h("td.num", count(each.count)),
              h("td", link(`runs/${each.last_run_id}`, time(each.last_at))),
            ),
          ),
        )
      : h("p.faint", "None in this time."),
  );
}

function slowest({ nodes, sampled_runs: sampled }, workflow) {
  return h(
    "section",
    h("h2", "Nodes"),
    nodes.length
      ? [
          table(
            [...(workflow ? [] : ["Workflow"]), "Node", "Executions", "Failures", "Retries", "Median", "95 %"],
            nodes.map((each) =>
              h(
                "tr",
                !workflow && h("td", each.workflow_id),
                h("td", each.node),
                h("td.num", count(each.executions)),
                h("td.num", count(each.failures)),
                h("td.num", count(each.retries)),
                h("td.num", span(each.p50_ms)),
                h("td.num", span(each.p95_ms)),
              ),
            ),
          ),
          h("p.faint", `From the newest ${count(sampled)} runs that ended, the slowest first.`),
        ]
      : h("p.faint", "None has run in this time."),
  );
}
