// Icons, drawn as strokes on a square of 16 units.

import { svg } from "./dom.js";

const ICON_PATHS = {
  pending: "M8 3.500a4.5 4.5 0 1 0 0 9a4.5 4.5 0 0 0 0-9Z",
  queued: "M5 3h6M5 13h6M5.5 3c0 3 5 4 5 10M10.5 3c0 3-5 4-5 10",
  running: "M8 2.500a5.5 5.5 0 1 1-5.5 5.5",
  retrying: "M12.8 6A5 5 0 1 0 13 9.500M13 3v3.200H9.8",
  waiting: "M6 4v8M10 4v8",
  succeeded: "M3.5 8.500l3 3l6-7",
  failed: "M4.5 4.500l7 7M11.5 4.500l-7 7",
  interrupted: "M2.5 8h4M9.5 8h4M8.5 4l-2 8",
  cancelled: "M4 4h8v8H4Z",
  skipped: "M3.5 4l4 4l-4 4M8.5 4l4 4l-4 4",
  compensated: "M6 3L3 6l3 3M3 6h6a3.5 3.5 0 0 1 0 7H6",
  copy: "M6 6h7v7H6ZM3 10V3h7",
  close: "M4 4l8 8M12 4l-8 8",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  fit: "M3 6V3h3M10 3h3v3M13 10v3h-3M6 13H3v-3",
  runs: "M3 4h10M3 8h10M3 12h6",
  approvals: "M8 8a2.5 2.5 0 1 0 0-5a2.5 2.5 0 0 0 0 5ZM3 13.500c.5-3 2.5-4 5-4s4.5 1 5 4",
  workflows: "M2.5 6h4v4h-4ZM9.5 2.500h4v4h-4ZM9.5 9.500h4v4h-4ZM6.5 8c2 0 1-3.5 3-3.500M6.5 8c2 0 1 3.5 3 3.5",
  triggers: "M9 2.500L4.5 9H8l-1 4.500L11.5 7H8Z",
  overview: "M3 13V8M8 13V3M13 13V6",
  theme: "M12.5 9.500A5 5 0 0 1 6.5 3.500a5 5 0 1 0 6 6Z",
  out: "M7 3H3v10h4M6.5 8h7M10.5 5l3 3l-3 3",
  node: "M3.5 4.500h9v7h-9Z",
  agent: "M8 2.500v2M4 4.500h8v7H4ZM6.5 7.500v1M9.5 7.500v1",
  tool: "M10.5 3a3 3 0 0 0-3 4L3 11.500L4.5 13L9 8.500a3 3 0 0 0 4-3.500l-2 1.500l-1.5-1.500l1.5-2Z",
  llm: "M3 3.500h10v7H8l-3 2.500v-2.500H3Z",
  router: "M3 8h4l3-4h3M7 8l3 4h3",
  loop: "M4 10a4 4 0 1 1 2 2.500M4 13v-3h3",
  map: "M3 3h3v3H3ZM3 10h3v3H3ZM10 3h3v3h-3ZM10 10h3v3h-3Z",
  subworkflow: "M2.5 2.500h11v11h-11ZM5.5 5.500h5v5h-5Z",
  human_input: "M8 8a2.5 2.5 0 1 0 0-5a2.5 2.5 0 0 0 0 5ZM3 13.500c.5-3 2.5-4 5-4s4.5 1 5 4",
  signal: "M9 2.500L4.5 9H8l-1 4.500L11.5 7H8Z",
  timer: "M8 4a5 5 0 1 0 0 10A5 5 0 0 0 8 4ZM8 6.500V9l1.5 1.500M6.5 2h3",
  http: "M8 2.500a5.5 5.5 0 1 0 0 11a5.5 5.5 0 0 0 0-11ZM2.5 8h11M8 2.500c-3 3.5-3 7.5 0 11c3-3.5 3-7.5 0-11",
};

/** The drawing of an icon, as the data of an SVG path. */
export const iconPath = (name) => ICON_PATHS[name] ?? ICON_PATHS.node;

/** Make a decorative icon, which screen readers skip. */
export const icon = (name) =>
  svg(`svg.icon.icon-${name}`, { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: iconPath(name) }));
