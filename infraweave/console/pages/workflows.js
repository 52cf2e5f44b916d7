// The workflows: which version is active, what runs, and how it goes.

import { get, seg } from "../lib/api.js";
import { link } from "../lib/router.js";
import { h, put } from "../lib/dom.js";
import { count, percent, plural, span } from "../lib/format.js";
import { may } from "../lib/session.js";
import { startDialog } from "../run/start_dialog.js";
import { button, empty, heads } from "../lib/widgets.js";

/** Columns of numbers. */
const FIGURES = ["Versions", "Runs, 24 h", "Success", "Median"];

export async function open(main) {
  const { workflows } = await get("/v1/workflows");
  if (!workflows.length) {
    put(
      main,
      h("header.page", h("h1", "Workflows")),
      empty("No workflows yet", "Give their files to infraweave serve, or publish a definition document."),
    );
    return;
  }
  const rows = workflows.map((workflow) => row(workflow));
  put(
    main,
    h("header.page", h("h1", "Workflows"), h("span.faint", plural(workflows.length, "workflow"))),
    h(
      "div.scroll-x",
      h(
        "table.list",
        heads(["Workflow", "Active version", ...FIGURES, ""], FIGURES, "Start"),
        h(
          "tbody",
          rows.map(({ element }) => element),
        ),
      ),
    ),
  );
  await Promise.all(rows.map(({ fill }) => fill()));
}

function row({ workflow_id: id, active_version: active, versions }) {
  const [runs, success, median] = [h("td.num", "…"), h("td.num", "…"), h("td.num", "…")];
  const element = h(
    "tr",
    h("th", { scope: "row" }, link(`workflows/${seg(id)}`, id)),
    h("td", active),
    h("td.num", count(versions.length)),
    runs,
    success,
    median,
    h("td", may("execute", id) && button("Start", () => startDialog(id))),
  );
  return {
    element,
    async fill() {
      const found = await get("/v1/statistics", { workflow_id: id });
      put(runs, link(`runs?workflow_id=${seg(id)}`, count(found.runs.started)));
      put(success, percent(found.success_rate));
      put(median, span(found.duration.p50_ms));
    },
  };
}
