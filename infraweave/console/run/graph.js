// The live graph: drawn once from the layout, then only what changed is touched.

import { h, put, s } from "../lib/dom.js";
import { cut, span } from "../lib/format.js";
import { edgeState } from "./model.js";
import { iconButton, path } from "../lib/widgets.js";

const PAD = 12;
/** The scale at which names can still be read with ease. */
const READABLE = 0.75;
/** Where all of it would be smaller than this, its beginning is shown instead; of huge graphs, all of it. */
const SMALL = 0.5;
const LABELS = { human_input: "human input" };

/** Draw a layout; `choose(name)` is called for a click on a node, or null for one beside them. */
export function graph(layout, kinds, choose) {
  if (layout === null) return undrawn();
  const view = { x: 0, y: 0, scale: 1 };
  const nodes = new Map(),
    edges = [];
  const world = s("g");
  const svg = s("svg.graph", { role: "group", "aria-label": "Workflow graph" }, markers(), world);
  for (const region of layout.regions)
    world.append(s("rect.region", { x: region.x, y: region.y, width: region.width, height: region.height, rx: 12 }));
  for (const edge of layout.edges) {
    const drawn = s(`path.edge.kind-${edge.kind}`, { d: line(edge.points, edge.kind), "marker-end": "url(#arrow)" });
    const label = edge.kind === "loop" ? s("text.count", middle(edge.points)) : null;
    world.append(drawn, ...(label ? [label] : []));
    edges.push({ edge, drawn, label });
  }
  for (const [name, box] of Object.entries(layout.nodes)) {
    const parts = nodeBox(name, kinds.get(name) ?? "node", box);
    parts.group.addEventListener("click", (event) => {
      event.stopPropagation();
      choose(name);
    });
    parts.group.addEventListener("keydown", (event) => key(event, name));
    world.append(parts.group);
    nodes.set(name, { ...parts, box });
  }
  svg.addEventListener("click", () => {
    if (!moved) choose(null);
  });

  let moved = false;
  const move = () => world.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.scale})`);
  const size = () => svg.getBoundingClientRect();
  const zoom = (by, at) => {
    const { width, height } = size();
    const [x, y] = at ?? [width / 2, height / 2];
    const scale = Math.min(2.5, Math.max(0.05, view.scale * by));
    view.x = x - (x - view.x) * (scale / view.scale);
    view.y = y - (y - view.y) * (scale / view.scale);
    view.scale = scale;
    move();
  };
  /** Show all of it; `readable`: where that would make names too small to read, only its beginning. */
  const fit = (readable = false) => {
    const { width, height } = size();
    if (!width) return;
    const whole = Math.min(1.15, (width - 2 * PAD) / layout.width, (height - 2 * PAD) / layout.height);
    view.scale = readable && whole < SMALL && whole > SMALL / 2.5 ? READABLE : Math.max(whole, 0.05);
    view.x = layout.width * view.scale > width && readable ? 0 : (width - layout.width * view.scale) / 2;
    view.y = (height - layout.height * view.scale) / 2;
    move();
  };
  /** Bring a node into view when it lies outside. */
  const reveal = (name) => {
    const box = nodes.get(name)?.box;
    if (!box) return;
    const { width, height } = size();
    const x = view.x + (box.x + box.width / 2) * view.scale,
      y = view.y + (box.y + box.height / 2) * view.scale;
    if (x > 60 && x < width - 60 && y > 30 && y < height - 30) return;
    view.x += width / 2 - x;
    view.y += height / 2 - y;
    move();
  };
  svg.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const { left, top } = size();
      if (event.ctrlKey || event.metaKey || !event.deltaX)
        zoom(Math.exp(-event.deltaY / (event.ctrlKey ? 120 : 420)), [event.clientX - left, event.clientY - top]);
      else {
        view.x -= event.deltaX;
        view.y -= event.deltaY;
        move();
      }
    },
    { passive: false },
  );
  svg.addEventListener("pointerdown", (event) => {
    moved = false;
    const from = { x: event.clientX - view.x, y: event.clientY - view.y, px: event.clientX, py: event.clientY };
    const drag = (next) => {
      if (!moved && Math.hypot(next.clientX - from.px, next.clientY - from.py) < 4) return;
      if (!moved) svg.setPointerCapture(event.pointerId);
      moved = true;
      view.x = next.clientX - from.x;
      view.y = next.clientY - from.y;
      move();
    };
    svg.addEventListener("pointermove", drag);
    const stop = () => svg.removeEventListener("pointermove", drag);
    svg.addEventListener("pointerup", stop, { once: true });
    svg.addEventListener("pointercancel", stop, { once: true });
  });

  function key(event, name) {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      choose(name);
      return;
    }
    const next = neighbour(layout, name, event.key);
    if (!next) return;
    event.preventDefault();
    reveal(next);
    nodes.get(next).group.focus({ preventScroll: true });
  }

  const box = h(
    "div.graph-box",
    svg,
    h(
      "div.zoom",
      iconButton("plus", "Zoom in", () => zoom(1.3)),
      iconButton("minus", "Zoom out", () => zoom(1 / 1.3)),
      iconButton("fit", "Fit", () => fit()),
    ),
  );
  return {
    box,
    fit,
    reveal,
    /** Show what changed in a model since the last time. */
    update(model) {
      for (const name of model.touched) if (nodes.has(name)) show(nodes.get(name), model.nodes.get(name));
      if (model.touched.size) for (const each of edges) showEdge(each, model);
      model.touched.clear();
    },
    /** Count down what is due. */
    tick(model) {
      for (const node of model.nodes.values())
        if (node.state === "retrying" && nodes.has(node.name)) show(nodes.get(node.name), node);
    },
    select(name) {
      for (const [each, { group }] of nodes) group.classList.toggle("chosen", each === name);
    },
  };
}

/** In place of a drawing that nobody could read. */
function undrawn() {
  const nothing = () => {};
  return {
    box: h("div.graph-box", h("div.empty", h("p", "This graph has too many edges to be drawn."))),
    fit: nothing,
    reveal: nothing,
    update: nothing,
    tick: nothing,
    select: nothing,
  };
}

const markers = () =>
  s(
    "defs",
    s(
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
      s("path.arrow", { d: "M0 .8L7 4L0 7.2Z" }),
    ),
  );

function nodeBox(name, kind, { x, y, width, height }) {
  const state = s("path", { d: path("pending") }),
    line = s("text.sub", { x: 38, y: 37 }),
    bar = s("rect.done", { x: 1.5, y: height - 4.5, width: 0, height: 3, rx: 1.5 });
  const title = s("title", name);
  const group = s(
    "g.node.is-pending",
    { transform: `translate(${x} ${y})`, tabindex: 0, role: "button", "aria-label": `${name}, pending` },
    title,
    s("rect.box", { width, height, rx: 9 }),
    bar,
    s("g.sign", { transform: `translate(10 ${height / 2 - 10}) scale(1.25)` }, state),
    s("text.name", { x: 38, y: 22 }, cut(name, 17)),
    line,
    s(
      "g.kind",
      { transform: `translate(${width - 22} 8) scale(.85)` },
      s("title", LABELS[kind] ?? kind),
      s("path", { d: path(kind) }),
    ),
  );
  return { group, state, line, bar, title, kind, width };
}

function show(parts, node) {
  const text = says(node);
  parts.group.setAttribute(
    "class",
    `node is-${node.state}${parts.group.classList.contains("chosen") ? " chosen" : ""}`,
  );
  parts.group.setAttribute("aria-label", `${node.name}, ${LABELS[parts.kind] ?? parts.kind}, ${text}`);
  parts.state.setAttribute("d", path(node.state));
  put(parts.line, cut(text, 24));
  parts.title.textContent = node.message ? `${node.name}: ${text}\n${node.message}` : `${node.name}: ${text}`;
  parts.bar.setAttribute("width", node.total ? Math.round((parts.width - 3) * (node.done / node.total)) : 0);
}

function says(node) {
  if (node.asIs) return LABELS[node.kind] ?? node.kind;
  if (node.undoing) return "undoing";
  if (node.total !== null && node.state === "running")
    return `${node.done}/${node.total}${node.failed ? `, ${node.failed} failed` : ""}`;
  if (node.state === "retrying" && node.retryAt)
    return `retry in ${span(Math.max(0, node.retryAt - Date.now()))} (${node.attempt - node.interrupted + 1})`;
  if (node.state === "succeeded" && node.reused) return "reused";
  const more =
    node.total !== null && node.state === "succeeded"
      ? ` · ${node.done}${node.failed ? `, ${node.failed} failed` : ""}`
      : "";
  return node.state + more + (node.iterations > 1 ? ` · iteration ${node.iterations}` : "");
}

function showEdge({ edge, drawn, label }, model) {
  drawn.setAttribute("class", `edge kind-${edge.kind} ${edgeState(model, edge)}`);
  if (label)
    put(label, model.nodes.get(edge.source).iterations > 0 ? `×${model.nodes.get(edge.target).iterations}` : "");
}

/** A line through points: slanted pieces as smooth steps; ways back of loops, which are square, with round corners. */
const line = (points, kind) =>
  kind === "loop"
    ? rounded(points)
    : points.slice(1).reduce((text, to, at) => text + step(points[at], to), `M${points[0][0]} ${points[0][1]}`);
const step = ([x, y], [u, v]) =>
  x === u || y === v ? `L${u} ${v}` : `C${(x + u) / 2} ${y} ${(x + u) / 2} ${v} ${u} ${v}`;

function rounded([first, ...rest]) {
  let text = `M${first[0]} ${first[1]}`,
    from = first;
  rest.forEach((to, at) => {
    const next = rest[at + 1];
    if (!next) {
      text += `L${to[0]} ${to[1]}`;
      return;
    }
    const r = Math.min(12, length(from, to) / 2, length(to, next) / 2);
    const [a, b] = [toward(to, from, r), toward(to, next, r)];
    text += `L${a[0]} ${a[1]}Q${to[0]} ${to[1]} ${b[0]} ${b[1]}`;
    from = to;
  });
  return text;
}

const length = ([x, y], [u, v]) => Math.hypot(u - x, v - y);
function toward([x, y], to, by) {
  const far = length([x, y], to) || 1;
  return [x + ((to[0] - x) * by) / far, y + ((to[1] - y) * by) / far];
}
function middle(points) {
  const lowest = Math.max(...points.map(([, y]) => y));
  const flat = points.filter(([, y]) => y === lowest);
  return { x: (flat[0][0] + flat.at(-1)[0]) / 2, y: lowest - 5 };
}

/** The nearest node in the direction of an arrow key. */
function neighbour(layout, name, pressed) {
  const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[pressed];
  if (!way) return null;
  const from = layout.nodes[name];
  let best = null,
    nearest = Infinity;
  for (const [other, box] of Object.entries(layout.nodes)) {
    const [dx, dy] = [box.x - from.x, box.y - from.y];
    const ahead = dx * way[0] + dy * way[1];
    if (ahead <= 0) continue;
    const away = ahead + 2.5 * Math.abs(dx * way[1] + dy * way[0]);
    if (away < nearest) [best, nearest] = [other, away];
  }
  return best;
}
