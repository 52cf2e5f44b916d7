// A value of JSON as a tree: folded, searched, copied. Shown as text only.

import { h, put } from "./dom.js";
import { count } from "./format.js";
import { ExactNumber, isTree, print } from "./lossless_json.js";
import { copy, copyButton } from "./widgets.js";

/** Children of one object or list that are shown before "more" is asked for. */
const PART = 100;
const OPEN_DEPTH = 2;

/** Show a value with a search field and a button that copies it. */
export function jsonView(value, what = "value") {
  const body = h("div.json");
  const found = h("span.faint", { "aria-live": "polite" });
  const find = h("input", {
    type: "search",
    placeholder: "Search",
    "aria-label": `Search ${what}`,
    oninput: () => draw(),
  });
  const draw = () => {
    const wanted = find.value.trim().toLowerCase();
    const hits = wanted ? matches(value, wanted) : null;
    found.textContent = hits ? (hits.count ? `${count(hits.count)} found` : "nothing found") : "";
    put(body, tree(value, [], null, hits));
  };
  draw();
  const simple = !isTree(value);
  return h(
    "div.json-view",
    h(
      "div.bar",
      !simple && find,
      found,
      h("div.spring"),
      copyButton(() => text(value), what),
    ),
    body,
  );
}

const text = (value) => (typeof value === "string" ? value : print(value, 2));

/** The paths that lead to a match, as a set, and how many match. */
function matches(value, wanted) {
  const ways = new Set();
  let hits = 0;
  const look = (item, path) => {
    let inside = false;
    if (isTree(item)) {
      for (const [key, each] of Object.entries(item)) {
        const here = [...path, key];
        const named = !Array.isArray(item) && key.toLowerCase().includes(wanted);
        hits += named;
        if (look(each, here) || named) inside = true;
      }
    } else if (String(item).toLowerCase().includes(wanted)) {
      hits += 1;
      inside = true;
    }
    if (inside) ways.add(pointer(path));
    return inside;
  };
  look(value, []);
  return { ways, count: hits, wanted };
}

const pointer = (path) => path.map((part) => `/${String(part).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");

function tree(value, path, key, hits) {
  const name =
    key === null
      ? null
      : h(
          "button.key",
          {
            type: "button",
            title: `Copy path ${pointer(path)}`,
            onclick: (event) => {
              event.preventDefault();
              copy(pointer(path), "path");
            },
          },
          marked(String(key), hits),
        );
  if (!isTree(value)) return h("div.leaf", name, name && ": ", leaf(value, hits));
  const list = Array.isArray(value),
    size = Object.keys(value).length;
  if (!size) return h("div.leaf", name, name && ": ", h("span.punct", list ? "[]" : "{}"));
  const open = hits ? hits.ways.has(pointer(path)) : path.length < OPEN_DEPTH;
  const inner = h("div.inner");
  const box = h(
    "details",
    { open },
    h("summary", name, name && ": ", h("span.punct", list ? `[${count(size)}]` : `{${count(size)}}`)),
    inner,
  );
  const build = () => {
    if (box.open && !inner.firstChild) more(inner, Object.entries(value), 0, path, hits);
  };
  box.addEventListener("toggle", build);
  build();
  return box;
}

function more(inner, entries, from, path, hits) {
  for (const [key, value] of entries.slice(from, from + PART)) inner.append(tree(value, [...path, key], key, hits));
  const rest = entries.length - from - PART;
  if (rest <= 0) return;
  const button = h(
    "button.quiet",
    {
      type: "button",
      onclick: () => {
        button.remove();
        more(inner, entries, from + PART, path, hits);
      },
    },
    `${count(rest)} more`,
  );
  inner.append(button);
}

function leaf(value, hits) {
  if (typeof value === "string")
    return h(
      value.includes("\n") ? "span.string.block" : "span.string",
      marked(value.includes("\n") ? value : JSON.stringify(value), hits),
    );
  const kind = value === null ? "null" : value instanceof ExactNumber ? "number" : typeof value;
  return h(`span.${kind}`, marked(String(value), hits));
}

function marked(shown, hits) {
  const at = hits ? shown.toLowerCase().indexOf(hits.wanted) : -1;
  if (at < 0) return shown;
  const end = at + hits.wanted.length;
  return [shown.slice(0, at), h("mark", shown.slice(at, end)), shown.slice(end)];
}
