// Small parts that pages share: icons, state chips, times, copying, dialogs, notices.

import { h, s, put } from "./dom.js";
import { exact, relative } from "./format.js";

const PATHS = {
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

/** An icon of 16 units; decorative unless it is given a label. */
export function icon(name, label = null) {
  const said = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
  return s(`svg.icon.icon-${name}`, { viewBox: "0 0 16 16", ...said }, s("path", { d: PATHS[name] ?? PATHS.node }));
}

export const path = (name) => PATHS[name] ?? PATHS.node;

/** A state by colour, icon and word. */
export const chip = (state, more = "") => h(`span.chip.is-${state}`, icon(state), state + more);
/** What stands beside the state of a run that the server does not take up. */
export const setAside = () =>
  h("span.tag.aside", { title: "The server has died three times as it took this run up" }, "set aside");

/** A time that reads relative and tells the exact one on hover; `tick` keeps it true. */
export function time(at, empty = "–") {
  if (at === null || at === undefined) return h("span.faint", empty);
  const ms = typeof at === "string" ? Date.parse(at) : at;
  return h("time", { datetime: new Date(ms).toISOString(), title: exact(ms), "data-at": ms }, relative(ms));
}

/** Bring every relative time on the page up to date. */
export function tick() {
  const now = Date.now();
  for (const each of document.querySelectorAll("time[data-at]")) {
    const text = relative(Number(each.dataset.at), now);
    if (each.textContent !== text) each.textContent = text;
  }
}

export const button = (label, onclick, { kind = "", sign = null, ...props } = {}) =>
  h(
    `button${kind && `.${kind}`}`,
    { type: "button", onclick, ...props },
    sign && icon(sign),
    label && h("span", label),
  );

/** A button of an icon alone. */
export const iconButton = (sign, label, onclick, props = {}) =>
  h("button.quiet.square", { type: "button", onclick, "aria-label": label, title: label, ...props }, icon(sign));

/** Show a button that the principal may not use: off, and saying why. */
export const forbid = (element, reason) => {
  if (reason) {
    element.setAttribute("aria-disabled", "true");
    element.title = reason;
    element.addEventListener(
      "click",
      (event) => {
        event.stopImmediatePropagation();
        event.preventDefault();
        notice(reason, "bad");
      },
      true,
    );
  }
  return element;
};

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    notice(`${what} copied`);
  } catch {
    notice(`The browser does not let ${what} be copied.`, "bad");
  }
}

export const copyButton = (text, what) =>
  iconButton("copy", `Copy ${what}`, () => copy(typeof text === "function" ? text() : text, what));

const notices = h("div.notices", { role: "status", "aria-live": "polite" });
document.body.append(notices);

/** Say something for some seconds; kind "bad" stays longer. */
export function notice(text, kind = "good") {
  const box = h(`div.notice.${kind}`, text);
  notices.append(box);
  setTimeout(() => box.remove(), kind === "bad" ? 9000 : 3500);
}

/** Say what went wrong, as the server words it. */
export const complain = (error) => {
  if (error.name !== "AbortError") notice(error.message, "bad");
};

/** Open a dialog; it is gone once closed. `build` gets a function that closes it. */
export function dialog(title, build, { wide = false } = {}) {
  const close = () => box.close();
  const box = h(`dialog${wide ? ".wide" : ""}`, { "aria-label": title, onclose: () => box.remove() });
  put(box, h("header", h("h2", title), iconButton("close", "Close", close)), build(close));
  document.body.append(box);
  box.showModal();
  return box;
}

/** Tabs: [[id, label, build], …]; the chosen one is built when it is shown. */
export function tabs(all, chosen, choose) {
  const panel = h("div.panel", { role: "tabpanel", tabindex: "0" });
  const bar = h("div.tabs", { role: "tablist" });
  const show = (id) => {
    const [, label, build] = all.find(([each]) => each === id) ?? all[0];
    for (const each of bar.children) {
      each.setAttribute("aria-selected", String(each.dataset.id === id));
      each.tabIndex = each.dataset.id === id ? 0 : -1;
    }
    panel.setAttribute("aria-label", label);
    put(panel, build());
  };
  bar.append(
    ...all.map(([id, label]) =>
      h(
        "button",
        {
          type: "button",
          role: "tab",
          "data-id": id,
          onclick: () => {
            choose(id);
            show(id);
          },
          onkeydown: (event) => {
            const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
            if (!step) return;
            const next = bar.children[([...bar.children].indexOf(event.target) + step + all.length) % all.length];
            next.focus();
            next.click();
          },
        },
        label,
      ),
    ),
  );
  show(all.some(([id]) => id === chosen) ? chosen : all[0][0]);
  return [bar, panel];
}

/** The head of a table. `figures`: the columns of numbers; `unnamed`: what stands in one without a name. */
export const heads = (names, figures = [], unnamed = "Actions") =>
  h(
    "thead",
    h(
      "tr",
      names.map((each) => h(figures.includes(each) ? "th.num" : "th", { scope: "col" }, each || h("span.sr", unnamed))),
    ),
  );

export const empty = (title, text, ...more) => h("div.empty", h("h2", title), h("p", text), ...more);
export const field = (label, value) => [h("dt", label), h("dd", value ?? "–")];
