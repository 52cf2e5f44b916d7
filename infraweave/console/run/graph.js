// The graph of a workflow. It is drawn once from its layout; after that only the nodes that changed are updated.

import { h, setContent, svg } from "../lib/dom.js";
import { formatDuration, truncate } from "../lib/format.js";
import { iconPath } from "../lib/icons.js";
import { iconButton } from "../lib/widgets.js";
import { edgePath, loopLabelPosition, neighbour } from "./geometry.js";
import { edgeState } from "./model.js";
import { createViewport } from "./viewport.js";

const ZOOM_STEP = 1.3;
/** The most characters of a node's name, and of the line below it, that its box has room for. */
const NAME_LENGTH = 17;
const STATUS_LENGTH = 24;

const kindLabel = (kind) => kind.replace("_", " ");

/**
 * Draw a graph: {box, fit, reveal(name), select(name), update(model), tick(model)}.
 *
 * `layout` is null when there are too many edges to be drawn; `kinds` are the kinds of the nodes by name.
 * onSelect(name) is called for a click on a node, and onSelect(null) for a click beside the nodes.
 */
export function createGraph(layout, kinds, onSelect) {
  if (layout === null) return emptyGraph();
  const drawing = svg("g");
  const canvas = svg("svg.graph", { role: "group", "aria-label": "Workflow graph" }, arrowMarker(), drawing);
  const viewport = createViewport(canvas, drawing, layout);
  for (const { x, y, width, height } of layout.regions)
    drawing.append(svg("rect.region", { x, y, width, height, rx: 12 }));
  const edges = layout.edges.map((edge) => drawEdge(drawing, edge));
  const nodes = new Map(
    Object.entries(layout.nodes).map(([name, box]) => [name, drawNode(drawing, name, kinds.get(name) ?? "node", box)]),
  );
  const reveal = (name) => {
    if (nodes.has(name)) viewport.reveal(layout.nodes[name]);
  };
  const onKey = (event, name) => {
    const next = neighbour(layout.nodes, name, event.key);
    if (!next && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    if (!next) return onSelect(name);
    reveal(next);
    nodes.get(next).group.focus({ preventScroll: true });
  };
  for (const [name, { group }] of nodes) {
    group.addEventListener("keydown", (event) => onKey(event, name));
    group.addEventListener("click", (event) => {
      event.stopPropagation();
      onSelect(name);
    });
  }
  canvas.addEventListener("click", () => {
    if (!viewport.wasDragged()) onSelect(null);
  });
  const buttons = h(
    "div.zoom",
    iconButton("plus", "Zoom in", () => viewport.zoom(ZOOM_STEP)),
    iconButton("minus", "Zoom out", () => viewport.zoom(1 / ZOOM_STEP)),
    iconButton("fit", "Fit", () => viewport.fit()),
  );
  return {
    box: h("div.graph-box", canvas, buttons),
    fit: viewport.fit,
    reveal,
    select(name) {
      for (const [each, { group }] of nodes) group.classList.toggle("selected", each === name);
    },
    /** Show what has changed in a model since the last update. */
    update(model) {
      if (!model.changedNodes.size) return;
      for (const name of model.changedNodes) if (nodes.has(name)) updateNode(nodes.get(name), model.nodes.get(name));
      for (const edge of edges) updateEdge(edge, model);
      model.changedNodes.clear();
    },
    /** Update the countdowns to the next attempts. */
    tick(model) {
      for (const node of model.nodes.values())
        if (node.state === "retrying" && nodes.has(node.name)) updateNode(nodes.get(node.name), node);
    },
  };
}

function emptyGraph() {
  const nothing = () => {};
  const text = h("p", "This graph has too many edges to be drawn.");
  const box = h("div.graph-box", h("div.empty", text));
  return { box, fit: nothing, reveal: nothing, update: nothing, tick: nothing, select: nothing };
}

const arrowMarker = () =>
  svg(
    "defs",
    svg(
      "marker",
      {
        id: "arrow",
        viewBox: "0 0 8 8",
        refX: 7,
        refY: 4,
        markerWidth: 7,
        markerHeight: 7,
        orient: "auto-start-reverse",
      },
      svg("path.arrow", { d: "M0 .8L7 4L0 7.2Z" }),
    ),
  );

// --- edges ---------------------------------------------------------------------------------------------------

function drawEdge(drawing, edge) {
  const { points, kind } = edge;
  const path = svg(`path.edge.kind-${kind}`, { d: edgePath(points, kind), "marker-end": "url(#arrow)" });
  const label = kind === "loop" ? svg("text.count", loopLabelPosition(points)) : null;
  drawing.append(path, ...(label ? [label] : []));
  return { edge, path, label };
}

function updateEdge({ edge, path, label }, model) {
  path.setAttribute("class", `edge kind-${edge.kind} ${edgeState(model, edge)}`);
  if (!label) return;
  const hasBegun = model.nodes.get(edge.source).iterations > 0;
  setContent(label, hasBegun ? `×${model.nodes.get(edge.target).iterations}` : "");
}

// --- nodes ---------------------------------------------------------------------------------------------------

function drawNode(drawing, name, kind, { x, y, width, height }) {
  const stateIcon = svg("path", { d: iconPath("pending") });
  const status = svg("text.sub", { x: 38, y: 37 });
  const progress = svg("rect.done", { x: 1.5, y: height - 4.5, width: 0, height: 3, rx: 1.5 });
  const title = svg("title", name);
  const group = svg(
    "g.node.is-pending",
    { transform: `translate(${x} ${y})`, tabindex: 0, role: "button", "aria-label": `${name}, pending` },
    title,
    svg("rect.box", { width, height, rx: 9 }),
    progress,
    svg("g.state-icon", { transform: `translate(10 ${height / 2 - 10}) scale(1.25)` }, stateIcon),
    svg("text.name", { x: 38, y: 22 }, truncate(name, NAME_LENGTH)),
    status,
    svg(
      "g.kind",
      { transform: `translate(${width - 22} 8) scale(.85)` },
      svg("title", kindLabel(kind)),
      svg("path", { d: iconPath(kind) }),
    ),
  );
  drawing.append(group);
  return { group, stateIcon, status, progress, title, kind, width };
}

function updateNode(drawn, node) {
  const text = statusText(node);
  const isSelected = drawn.group.classList.contains("selected");
  drawn.group.setAttribute("class", `node is-${node.state}${isSelected ? " selected" : ""}`);
  drawn.group.setAttribute("aria-label", `${node.name}, ${kindLabel(drawn.kind)}, ${text}`);
  drawn.stateIcon.setAttribute("d", iconPath(node.state));
  setContent(drawn.status, truncate(text, STATUS_LENGTH));
  drawn.title.textContent = `${node.name}: ${text}${node.message ? `\n${node.message}` : ""}`;
  drawn.progress.setAttribute("width", node.total ? Math.round((drawn.width - 3) * (node.done / node.total)) : 0);
}

/** The line below a node's name. `isDefinition` marks the nodes of a workflow, which have no state. */
function statusText(node) {
  const { state, total, done, failed } = node;
  if (node.isDefinition) return kindLabel(node.kind);
  if (node.compensating) return "compensating";
  const failures = failed ? `, ${failed} failed` : "";
  if (total !== null && state === "running") return `${done}/${total}${failures}`;
  if (state === "retrying" && node.retryAt) {
    const wait = formatDuration(Math.max(0, node.retryAt - Date.now()));
    return `retry in ${wait} (${node.attempt - node.interrupted + 1})`;
  }
  if (state === "succeeded" && node.reused) return "reused";
  const items = total !== null && state === "succeeded" ? ` · ${done}${failures}` : "";
  return state + items + (node.iterations > 1 ? ` · iteration ${node.iterations}` : "");
}
