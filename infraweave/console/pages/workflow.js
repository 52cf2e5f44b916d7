// One workflow: its versions, and one of them as graph, schemas and document, or beside another.

import { call, get, seg } from "../lib/api.js";
import { link, setQuery } from "../lib/router.js";
import { compare } from "./version_diff.js";
import { copyAs, py } from "../lib/snippets.js";
import { h, put } from "../lib/dom.js";
import { count } from "../lib/format.js";
import { graph } from "../run/graph.js";
import { jsonView } from "../lib/json_view.js";
import { rounded } from "../lib/lossless_json.js";
import { create } from "../run/model.js";
import { lacks, may } from "../lib/session.js";
import { startDialog } from "../run/start_dialog.js";
import { button, complain, dialog, forbid, notice, tabs, time } from "../lib/widgets.js";

export async function open(main, parameters, id) {
  let workflow = await get(`/v1/workflows/${seg(id)}`);
  if (!main.isConnected) return null;
  let chosen = parameters.get("version") ?? workflow.active_version,
    tab = parameters.get("tab") ?? "graph";
  const list = h("ol.versions"),
    pane = h("section.version"),
    head = h("header.page");
  document.title = `${id} · InfraWeave`;
  put(main, head, h("div.workflow", list, pane));

  function draw() {
    put(
      head,
      h("h1", id),
      h("span.faint", `active: ${workflow.active_version}`),
      h("div.spring"),
      link(`runs?workflow_id=${seg(id)}`, "Its runs"),
      forbid(
        button("Start a run", () => startDialog(id, chosen), { kind: "primary", sign: "plus" }),
        may("execute", id) ? null : lacks("execute", id),
      ),
    );
    put(
      list,
      workflow.versions.toReversed().map((each) =>
        h(
          "li",
          h(
            "button",
            {
              type: "button",
              "aria-current": String(each.version === chosen),
              onclick: () => {
                chosen = each.version;
                draw();
                show().catch(complain);
              },
            },
            h("b", each.version),
            each.active && h("span.chip.is-succeeded", "active"),
            h("span.faint", time(each.created_at)),
            h("span.faint", each.open_runs ? `${count(each.open_runs)} open` : ""),
          ),
        ),
      ),
    );
  }
  async function show() {
    setQuery({ version: chosen, tab });
    const definition = await get(`/v1/workflows/${seg(id)}/versions/${seg(chosen)}`, { include: "layout" });
    const { layout, ...plain } = definition;
    const version = workflow.versions.find((each) => each.version === chosen);
    let drawn = null;
    const [bar, panel] = tabs(
      [
        [
          "graph",
          "Graph",
          () => {
            drawn = picture(definition);
            return drawn.box;
          },
        ],
        [
          "schemas",
          "Schemas",
          () => [
            h("h3", "Input"),
            jsonView(plain.input_schema, "schema"),
            plain.nodes
              .filter((node) => node.schema)
              .map((node) => [h("h3", node.name), jsonView(node.schema, "schema")]),
          ],
        ],
        ["document", "Document", () => jsonView(plain, "document")],
        ["diff", "Compare", () => compare(id, workflow, chosen)],
      ],
      tab,
      (next) => {
        tab = next;
        setQuery({ version: chosen, tab });
        if (next === "graph") requestAnimationFrame(() => drawn?.fit());
      },
    );
    put(
      pane,
      h(
        "header",
        h("h2", chosen),
        version &&
          link(
            `runs?workflow_id=${seg(id)}&workflow_version=${seg(chosen)}&status=queued,running,retrying`,
            `${count(version.open_runs)} open`,
          ),
        h("div.spring"),
        !version?.active &&
          forbid(
            button(older(workflow, chosen) ? "Roll back to this" : "Activate", () => activate()),
            may("publish", id) ? null : lacks("publish", id),
          ),
      ),
      bar,
      panel,
    );
    requestAnimationFrame(() => drawn?.fit());
  }
  function activate() {
    const request = () => ({
      method: "PUT",
      path: `/v1/workflows/${seg(id)}/active`,
      body: { version: chosen },
      python: `await client.activate(${py(id)}, ${py(chosen)})`,
    });
    dialog(`Activate ${chosen}`, (close) =>
      h(
        "div",
        h(
          "p",
          `New runs of ${id} that name no version will use ${chosen} instead of ${workflow.active_version}. `,
          `Its schedules and webhooks take the place of those of ${workflow.active_version}. `,
          "Runs that have begun keep their version.",
        ),
        h(
          "footer",
          copyAs(request),
          h("div.spring"),
          button("Keep it as it is", close),
          button(
            "Activate",
            async () => {
              try {
                const { method, path, body } = request();
                workflow = await call(method, path, { body });
                close();
                notice(`${chosen} is active`);
                draw();
                await show();
              } catch (error) {
                complain(error);
              }
            },
            { kind: "primary" },
          ),
        ),
      ),
    );
  }
  draw();
  await show();
}

const older = ({ versions }, chosen) =>
  versions.findIndex(({ version }) => version === chosen) < versions.findIndex(({ active }) => active);

function picture(definition) {
  const drawing = graph(
    rounded(definition.layout),
    new Map(definition.nodes.map((node) => [node.name, node.kind])),
    (name) => {
      if (name)
        put(
          about,
          h("h3", name),
          jsonView(
            definition.nodes.find((node) => node.name === name),
            "node",
          ),
        );
      else put(about);
      drawing.select(name);
    },
  );
  const about = h("div.about"),
    model = create(definition);
  for (const node of model.nodes.values()) node.asIs = true;
  drawing.update(model);
  return { box: h("div.picture", drawing.box, about), fit: drawing.fit };
}
