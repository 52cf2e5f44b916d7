// A JSON value as a tree that can be folded, searched and copied. It is shown as text only.

import { h, setContent } from "./dom.js";
import { formatCount } from "./format.js";
import { toPointer } from "./json_pointer.js";
import { ExactNumber, isContainer, stringifyJson } from "./lossless_json.js";
import { copyToClipboard } from "./notices.js";
import { copyButton } from "./widgets.js";

/** How many children of an object or array are shown at a time. */
const PAGE_SIZE = 100;
/** How deep objects and arrays are open at first. */
const OPEN_DEPTH = 2;

/** Show a value; objects and arrays get a search field. `what` names the value for the search and copy buttons. */
export function jsonView(value, what = "value") {
  const body = h("div.json");
  const status = h("span.muted", { "aria-live": "polite" });
  const search = h("input", {
    type: "search",
    placeholder: "Search",
    "aria-label": `Search ${what}`,
    oninput: () => render(),
  });
  const render = () => {
    const text = search.value.trim().toLowerCase();
    const matches = text ? findMatches(value, text) : null;
    status.textContent = matches ? (matches.count ? `${formatCount(matches.count)} found` : "nothing found") : "";
    setContent(body, renderValue(value, [], matches));
  };
  render();
  const copied = () => (typeof value === "string" ? value : stringifyJson(value, 2));
  const bar = h("div.bar", isContainer(value) && search, status, h("div.spacer"), copyButton(copied, what));
  return h("div.json-view", bar, body);
}

/** Find a text in keys and values: {text, count, pointers}, with the pointers of all values that contain a match. */
function findMatches(value, text) {
  const matches = { text, count: 0, pointers: new Set() };
  const contains = (string) => string.toLowerCase().includes(text);
  const visit = (item, path) => {
    let found = false;
    if (isContainer(item)) {
      for (const [key, child] of Object.entries(item)) {
        const keyMatches = !Array.isArray(item) && contains(key);
        matches.count += keyMatches;
        if (visit(child, [...path, key]) || keyMatches) found = true;
      }
    } else if (contains(String(item))) {
      matches.count += 1;
      found = true;
    }
    if (found) matches.pointers.add(toPointer(path));
    return found;
  };
  visit(value, []);
  return matches;
}

function renderValue(value, path, matches) {
  const key = path.length ? [keyButton(path, matches), ": "] : null;
  if (!isContainer(value)) return h("div.leaf", key, renderScalar(value, matches));
  const isArray = Array.isArray(value);
  const size = Object.keys(value).length;
  if (!size) return h("div.leaf", key, h("span.punct", isArray ? "[]" : "{}"));
  const open = matches ? matches.pointers.has(toPointer(path)) : path.length < OPEN_DEPTH;
  const label = isArray ? `[${formatCount(size)}]` : `{${formatCount(size)}}`;
  const children = h("div.inner");
  const box = h("details", { open }, h("summary", key, h("span.punct", label)), children);
  const build = () => {
    if (box.open && !children.firstChild) appendPage(children, Object.entries(value), 0, path, matches);
  };
  box.addEventListener("toggle", build);
  build();
  return box;
}

function keyButton(path, matches) {
  const pointer = toPointer(path);
  const onclick = (event) => {
    event.preventDefault();
    copyToClipboard(pointer, "path");
  };
  const attributes = { type: "button", title: `Copy path ${pointer}`, onclick };
  return h("button.key", attributes, highlight(String(path.at(-1)), matches));
}

/** Append one page of children, and a button for the rest. */
function appendPage(children, entries, from, path, matches) {
  const end = from + PAGE_SIZE;
  for (const [key, value] of entries.slice(from, end)) children.append(renderValue(value, [...path, key], matches));
  if (entries.length <= end) return;
  const showMore = () => {
    more.remove();
    appendPage(children, entries, end, path, matches);
  };
  const more = h("button.quiet", { type: "button", onclick: showMore }, `${formatCount(entries.length - end)} more`);
  children.append(more);
}

function renderScalar(value, matches) {
  if (typeof value === "string" && value.includes("\n")) return h("span.string.block", highlight(value, matches));
  if (typeof value === "string") return h("span.string", highlight(JSON.stringify(value), matches));
  const type = value === null ? "null" : value instanceof ExactNumber ? "number" : typeof value;
  return h(`span.${type}`, highlight(String(value), matches));
}

/** Mark the first match in a text. */
function highlight(text, matches) {
  const at = matches ? text.toLowerCase().indexOf(matches.text) : -1;
  if (at < 0) return text;
  const end = at + matches.text.length;
  return [text.slice(0, at), h("mark", text.slice(at, end)), text.slice(end)];
}
