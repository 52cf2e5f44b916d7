// Small elements that pages share: state chips, times, buttons, tabs, tables.

import { h, setContent } from "./dom.js";
import { formatDateTime, formatRelative } from "./format.js";
import { icon } from "./icons.js";
import { copyToClipboard, notify } from "./notices.js";

/** A state as icon and word, in its colour. */
export const stateChip = (state, suffix = "") => h(`span.chip.is-${state}`, icon(state), state + suffix);

/** The tag of a run that the server has set aside. */
export const setAsideTag = () =>
  h("span.tag.aside", { title: "The server died three times while it resumed this run." }, "set aside");

/** A time, shown relative to now; hover shows the exact time. `refreshTimes` keeps it current. */
export function timeElement(at, placeholder = "–") {
  if (at === null || at === undefined) return h("span.muted", placeholder);
  const ms = typeof at === "string" ? Date.parse(at) : at;
  const attributes = { datetime: new Date(ms).toISOString(), title: formatDateTime(ms), "data-at": ms };
  return h("time", attributes, formatRelative(ms));
}

/** Update every relative time on the page. */
export function refreshTimes() {
  const now = Date.now();
  for (const element of document.querySelectorAll("time[data-at]")) {
    const text = formatRelative(Number(element.dataset.at), now);
    if (element.textContent !== text) element.textContent = text;
  }
}

/** Make a button; `kind` is a CSS class, `iconName` an icon before the label. */
export const button = (label, onclick, { kind = "", iconName = null, ...attributes } = {}) =>
  h(
    `button${kind && `.${kind}`}`,
    { type: "button", onclick, ...attributes },
    iconName && icon(iconName),
    label && h("span", label),
  );

/** Make a button with only an icon. */
export const iconButton = (iconName, label, onclick) =>
  h("button.quiet.square", { type: "button", onclick, "aria-label": label, title: label }, icon(iconName));

/** Disable a button and say why; a click shows the reason too. Without a reason the button stays enabled. */
export function disableWithReason(element, reason) {
  if (!reason) return element;
  element.setAttribute("aria-disabled", "true");
  element.title = reason;
  const refuse = (event) => {
    event.stopImmediatePropagation();
    event.preventDefault();
    notify(reason, "bad");
  };
  element.addEventListener("click", refuse, true);
  return element;
}

/** A button that copies a text, or what a function returns. */
export const copyButton = (text, what) =>
  iconButton("copy", `Copy ${what}`, () => copyToClipboard(typeof text === "function" ? text() : text, what));

/** Make tabs from [[id, label, build], …]; a tab's content is built when the tab is selected. Returns [bar, panel]. */
export function tabs(all, selected, onSelect) {
  const panel = h("div.panel", { role: "tabpanel", tabindex: "0" });
  const bar = h("div.tabs", { role: "tablist" });
  const show = (id) => {
    const [, label, build] = all.find(([each]) => each === id);
    for (const tab of bar.children) {
      tab.setAttribute("aria-selected", String(tab.dataset.id === id));
      tab.tabIndex = tab.dataset.id === id ? 0 : -1;
    }
    panel.setAttribute("aria-label", label);
    setContent(panel, build());
  };
  const select = (id) => {
    onSelect(id);
    show(id);
  };
  const moveFocus = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = bar.children[([...bar.children].indexOf(event.target) + step + all.length) % all.length];
    next.focus();
    next.click();
  };
  for (const [id, label] of all) {
    const attributes = { type: "button", role: "tab", "data-id": id, onclick: () => select(id), onkeydown: moveFocus };
    bar.append(h("button", attributes, label));
  }
  show(all.some(([id]) => id === selected) ? selected : all[0][0]);
  return [bar, panel];
}

/**
 * The head of a table. `numeric` names the columns of numbers; `unnamed` is what screen readers call a column with an
 * empty name.
 */
export const tableHead = (names, numeric = [], unnamed = "Actions") =>
  h(
    "thead",
    h(
      "tr",
      names.map((name) =>
        h(numeric.includes(name) ? "th.num" : "th", { scope: "col" }, name || h("span.visually-hidden", unnamed)),
      ),
    ),
  );

export const emptyState = (title, text, ...more) => h("div.empty", h("h2", title), h("p", text), ...more);
export const definitionRow = (term, value) => [h("dt", term), h("dd", value ?? "–")];

/** A dropdown from [[value, text], …]. */
export const dropdown = (attributes, options, selected) =>
  h(
    "select",
    attributes,
    options.map(([value, text]) => h("option", { value, selected: value === selected }, text)),
  );

/** A labelled field of a dialog; `fault` is the element for its error message. */
export const labelled = (label, input, { hint = null, fault = null } = {}) =>
  h("div.field", h("label", { for: input.id }, label, hint && h("span.muted", ` ${hint}`)), input, fault);
