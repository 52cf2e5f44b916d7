// One workflow: its versions, and the selected version as graph, schemas and document, or compared with another one.

import { getJson } from "../lib/api.js";
import { openRequestDialog } from "../lib/dialogs.js";
import { h, setContent } from "../lib/dom.js";
import { formatCount } from "../lib/format.js";
import { jsonView } from "../lib/json_view.js";
import { toPlainNumbers } from "../lib/lossless_json.js";
import { notify, reportError } from "../lib/notices.js";
import { link, setQuery } from "../lib/router.js";
import { missingGrant } from "../lib/session.js";
import { pythonLiteral } from "../lib/snippets.js";
import { segment, withQuery } from "../lib/url.js";
import { button, disableWithReason, tabs, timeElement } from "../lib/widgets.js";
import { createGraph } from "../run/graph.js";
import { createModel } from "../run/model.js";
import { openStartDialog } from "../run/start_dialog.js";
import { OPEN_STATES } from "../run/states.js";
import { versionDiff } from "./version_diff.js";

export async function open(main, parameters, id) {
  let workflow = await getJson(`/v1/workflows/${segment(id)}`);
  if (!main.isConnected) return null;
  let selected = parameters.get("version") ?? workflow.active_version;
  let tab = parameters.get("tab") ?? "graph";
  const header = h("header.page");
  const versions = h("ol.versions");
  const pane = h("section.version");
  document.title = `${id} · InfraWeave`;
  setContent(main, header, h("div.workflow", versions, pane));

  function renderVersions() {
    setContent(header, renderHeader(workflow, id, selected));
    const items = workflow.versions.toReversed().map((each) => versionItem(each, each.version === selected, select));
    setContent(versions, items);
  }
  function select(version) {
    selected = version;
    renderVersions();
    show().catch(reportError);
  }
  async function show() {
    setQuery({ version: selected, tab });
    const path = `/v1/workflows/${segment(id)}/versions/${segment(selected)}`;
    const { layout, ...document } = await getJson(path, { include: "layout" });
    const graph = definitionGraph(document, layout);
    const fitGraph = () => requestAnimationFrame(() => graph.fit());
    const contents = [
      ["graph", "Graph", () => graph.box],
      ["schemas", "Schemas", () => renderSchemas(document)],
      ["document", "Document", () => jsonView(document, "document")],
      ["diff", "Compare", () => versionDiff(id, workflow, selected)],
    ];
    const onTab = (next) => {
      tab = next;
      setQuery({ version: selected, tab });
      fitGraph();
    };
    setContent(pane, renderVersionHeader(workflow, id, selected, activate), tabs(contents, tab, onTab));
    fitGraph();
  }
  function activate() {
    openActivateDialog(workflow, id, selected, (changed) => {
      workflow = changed;
      notify(`${selected} is active`);
      renderVersions();
      show().catch(reportError);
    });
  }
  renderVersions();
  await show();
}

const renderHeader = (workflow, id, version) => [
  h("h1", id),
  h("span.muted", `active: ${workflow.active_version}`),
  h("div.spacer"),
  link(`runs?workflow_id=${segment(id)}`, "Runs"),
  disableWithReason(
    button("Start a run", () => openStartDialog(id, version), { kind: "primary", iconName: "plus" }),
    missingGrant("execute", id),
  ),
];

const versionItem = (version, isSelected, onSelect) =>
  h(
    "li",
    h(
      "button",
      { type: "button", "aria-current": String(isSelected), onclick: () => onSelect(version.version) },
      h("b", version.version),
      version.active && h("span.chip.is-succeeded", "active"),
      h("span.muted", timeElement(version.created_at)),
      h("span.muted", version.open_runs ? `${formatCount(version.open_runs)} open` : ""),
    ),
  );

function renderVersionHeader(workflow, id, selected, activate) {
  const version = workflow.versions.find((each) => each.version === selected);
  const openRuns = withQuery("runs", { workflow_id: id, workflow_version: selected, status: OPEN_STATES.join(",") });
  const label = isOlderThanActive(workflow, selected) ? "Roll back to this" : "Activate";
  return h(
    "header",
    h("h2", selected),
    version && link(openRuns, `${formatCount(version.open_runs)} open`),
    h("div.spacer"),
    !version?.active && disableWithReason(button(label, activate), missingGrant("publish", id)),
  );
}

const isOlderThanActive = ({ versions }, version) =>
  versions.findIndex((each) => each.version === version) < versions.findIndex(({ active }) => active);

const renderSchemas = (document) => [
  h("h3", "Input"),
  jsonView(document.input_schema, "schema"),
  document.nodes.filter(({ schema }) => schema).map(({ name, schema }) => [h("h3", name), jsonView(schema, "schema")]),
];

/** The graph of a version; a click on a node shows its definition below. */
function definitionGraph(document, layout) {
  const definition = h("div.about");
  const kinds = new Map(document.nodes.map(({ name, kind }) => [name, kind]));
  const graph = createGraph(toPlainNumbers(layout), kinds, (name) => {
    const node = document.nodes.find((each) => each.name === name);
    setContent(definition, node && [h("h3", name), jsonView(node, "node")]);
    graph.select(name);
  });
  const model = createModel(document);
  for (const node of model.nodes.values()) node.isDefinition = true;
  graph.update(model);
  return { box: h("div.picture", graph.box, definition), fit: graph.fit };
}

function openActivateDialog(workflow, id, version, onDone) {
  const { active_version: active } = workflow;
  openRequestDialog(`Activate ${version}`, {
    text: [
      `New runs of ${id} that name no version will use ${version} instead of ${active}. The schedules and webhooks ` +
        `of ${version} replace those of ${active}. Runs that have started keep their version.`,
    ],
    label: "Activate",
    makeRequest: () => ({
      method: "PUT",
      path: `/v1/workflows/${segment(id)}/active`,
      body: { version },
      python: `await client.activate(${pythonLiteral(id)}, ${pythonLiteral(version)})`,
    }),
    onDone,
  });
}
