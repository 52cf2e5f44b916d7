// The run page: header, live graph, inspector and timeline, with one selection.

import { get, known, seg, stream } from "../lib/api.js";
import { actions } from "../run/actions.js";
import { countApprovals } from "../lib/approval_badge.js";
import { link, setQuery } from "../lib/router.js";
import { curl } from "../lib/snippets.js";
import { atMostEvery, h, perFrame, put } from "../lib/dom.js";
import { compact, dollars, readable, shortId, span } from "../lib/format.js";
import { graph } from "../run/graph.js";
import { inspector } from "../run/inspector.js";
import { rounded } from "../lib/lossless_json.js";
import { summary } from "../run/summary.js";
import { apply, create, ended, remember, seed, telling } from "../run/model.js";
import { timeline } from "../run/timeline.js";
import { button, chip, complain, copy, copyButton, setAside, time } from "../lib/widgets.js";

/** Runs with more events are begun from their summary. */
const WHOLE = 5000;

export async function open(main, parameters, runId) {
  let run = await get(`/v1/runs/${seg(runId)}`);
  const definition = await get(`/v1/workflows/${seg(run.workflow_id)}/versions/${seg(run.workflow_version)}`, {
    include: "layout",
  });
  if (!main.isConnected) return null;
  const model = create(definition);
  if (run.last_seq > WHOLE) seed(model, run);
  document.title = `${run.workflow_id} ${shortId(runId)} · InfraWeave`;

  let chosen = parameters.get("node"),
    followed = chosen === null,
    alarmed = false,
    gone = false;
  const header = h("header.run-head"),
    line = h("p.explain", { "aria-live": "polite" }),
    live = h("span.live", { role: "status" });
  const drawing = graph(
    rounded(definition.layout),
    new Map(definition.nodes.map((node) => [node.name, node.kind])),
    (name) => {
      followed = false;
      choose(name);
    },
  );
  const bars = timeline((step) => {
    followed = false;
    choose(step.node);
  });
  const side = inspector(
    () => {
      followed = false;
      choose(null);
    },
    (tab) => setQuery({ node: chosen, tab }),
  );
  const overall = h("aside.inspector", { "aria-label": "Run" });
  const right = h("div.right");
  put(
    main,
    h(
      "article.run-page",
      header,
      h("div.stage", h("section.graph-pane", { "aria-label": "Graph" }, drawing.box), right),
      bars.box,
    ),
  );
  if (parameters.get("tab")) side.openOn(parameters.get("tab"));
  else if (run.state === "failed") side.openOn("error");

  function choose(name) {
    chosen = model.nodes.has(name) ? name : null;
    setQuery({ node: chosen });
    drawing.select(chosen);
    bars.select(chosen);
    if (chosen) {
      drawing.reveal(chosen);
      put(right, side.box);
      side.node(run, definition, model, chosen);
    } else {
      side.forget();
      put(right, overall);
      drawOverall();
    }
  }
  function drawOverall() {
    if (!chosen) summary(overall, run, model, () => refresh());
  }
  const place = { chip: h("span"), actions: h("div.actions"), facts: h("ul.facts"), took: h("span") };
  put(
    header,
    h(
      "div.title",
      place.chip,
      h("h1", link(`workflows/${seg(run.workflow_id)}`, run.workflow_id), " ", h("small", run.workflow_version)),
      live,
      h("div.spring"),
      place.actions,
    ),
    place.facts,
    line,
  );
  function drawHeader() {
    const stopping = model.cancelRequested && !ended(model);
    const aside = Boolean(run.set_aside) && !ended(model);
    put(place.chip, chip(model.state, stopping ? ", being cancelled" : ""), aside && setAside());
    const stamp = `${ended(model) ? model.state : ""}|${stopping}|${aside}`;
    if (place.stamp !== stamp) {
      place.stamp = stamp;
      const act = (answer) => {
        run = { ...run, set_aside: false, ...answer };
        look();
      };
      put(
        place.actions,
        actions(() => ({ ...run, state: model.state, cancel_requested: model.cancelRequested }), act),
        button("", () => copy(curl({ method: "GET", path: `/v1/runs/${runId}` }), "curl command"), {
          sign: "copy",
          "aria-label": "Copy this run as curl",
          title: "Copy this run as curl",
        }),
      );
    }
    put(
      place.facts,
      fact("Run", h("code", { title: runId }, shortId(runId)), copyButton(runId, "run id")),
      fact("Created", time(run.created_at)),
      fact("Took", place.took),
      fact("By", run.trigger),
      run.parent_run_id && fact("Parent", link(`runs/${run.parent_run_id}`, shortId(run.parent_run_id))),
      run.rerun_of && fact("Rerun of", link(`runs/${run.rerun_of}`, shortId(run.rerun_of))),
      model.tokens > 0 && fact("Tokens", compact(model.tokens)),
      model.cost > 0 && fact("Cost", dollars(model.cost)),
      fact("Trace", h("code", run.trace_id.slice(0, 8)), copyButton(run.trace_id, "trace id")),
      Object.entries(run.tags).map(([key, value]) => fact(key, value)),
    );
    drawTook();
  }
  const drawTook = () =>
    put(place.took, model.startedAt ? span((model.finishedAt ?? Date.now()) - model.startedAt) : "–");
  /** Choose what a person wants to see; once it has failed, its error. */
  function lead() {
    const first = telling(model),
      failed = model.nodes.get(first)?.state === "failed" && !alarmed;
    if (first === chosen && !failed) return;
    if (failed) {
      alarmed = true;
      side.openOn("error");
    }
    choose(first);
  }
  const draw = perFrame(() => {
    if (gone) return;
    drawHeader();
    drawing.update(model);
    bars.show(model);
    drawOverall();
    if (chosen) side.tick();
    if (followed) lead();
  });
  /** What the events do not tell: payloads, and a sentence about why nothing moves. */
  const look = atMostEvery(1000, async () => {
    if (gone) return;
    try {
      run = await get(`/v1/runs/${seg(runId)}`);
      const { explanation, moving } = await get(`/v1/runs/${seg(runId)}/explain`);
      const told = moving || run.state === "succeeded" ? "" : readable(explanation);
      if (line.dataset.told !== told) put(line, linked(told)); // a link that is drawn anew in mid-click is not followed
      line.dataset.told = told;
      line.className = `explain is-${ended(model) ? run.state : "waiting"}`;
      if (chosen) side.redraw(run, definition, model);
      draw();
    } catch (error) {
      if (error.status) complain(error);
      else if (!known(error)) throw error;
    }
  });
  const refresh = () => {
    look();
    countApprovals();
  };

  const settle = () => {
    drawing.fit(true);
    if (chosen) drawing.reveal(chosen);
  };
  /** Of a long run, its first executions and those that failed. */
  async function recall() {
    const path = `/v1/runs/${seg(runId)}/history`;
    try {
      for (const which of [{ state: "failed", limit: 200 }, { limit: 1000 }])
        remember(model, (await get(path, which)).history);
      draw();
    } catch (error) {
      complain(error);
    }
  }
  drawHeader();
  drawing.update(model);
  choose(chosen);
  if (model.partial) recall();
  requestAnimationFrame(settle);
  look();
  stream(
    `/v1/runs/${seg(runId)}/events`,
    {
      open: () => {
        live.textContent = ended(model) ? "" : "live";
        live.className = "live";
      },
      event: (type, event) => {
        if (!apply(model, type, event)) return;
        draw();
        look();
        if (type.startsWith("input_")) countApprovals();
      },
      lost: (error) => {
        live.textContent = error.status ? error.message : "reconnecting…";
        live.className = "live lost";
      },
      end: () => {
        live.textContent = "";
        draw();
        look();
      },
    },
    () => model.seq,
  );
  const beat = setInterval(() => {
    if (!ended(model)) {
      drawTook();
      drawing.tick(model);
      bars.draw();
    }
  }, 1000);
  const resized = new ResizeObserver(settle);
  resized.observe(drawing.box);
  return () => {
    gone = true;
    clearInterval(beat);
    resized.disconnect();
  };
}

const fact = (label, ...value) => h("li", h("span.faint", `${label} `), value);

/** A sentence with the runs that it names as links. */
const linked = (sentence) =>
  sentence.split(/(run_[0-9A-Z]{26})/).map((part, at) => (at % 2 ? link(`runs/${part}`, shortId(part)) : part));
