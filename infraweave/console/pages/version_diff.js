// Two versions of a workflow beside each other: what differs in words, then their documents line by line.

import { get, seg } from "../lib/api.js";
import { h, put } from "../lib/dom.js";
import { plural } from "../lib/format.js";
import { align, shortened } from "../lib/line_diff.js";
import { print } from "../lib/lossless_json.js";
import { complain } from "../lib/widgets.js";

/** Show a version beside another one, which can be chosen. */
export function compare(id, workflow, chosen) {
  const others = workflow.versions.filter(({ version }) => version !== chosen).toReversed();
  if (!others.length) return h("p.faint", "There is no other version.");
  const told = h("div", { "aria-live": "polite" }),
    place = h("div.scroll-x");
  const pick = h(
    "select",
    { id: "other", onchange: () => show() },
    others.map(({ version, active }) => h("option", { value: version, selected: active }, version)),
  );
  const show = async () => {
    const from = pick.value;
    try {
      const [{ differences }, old, now] = await Promise.all([
        get(`/v1/workflows/${seg(id)}/diff`, { from, to: chosen }),
        ...[from, chosen].map((each) => get(`/v1/workflows/${seg(id)}/versions/${seg(each)}`)),
      ]);
      if (from !== pick.value) return;
      put(told, inWords(differences));
      put(place, beside(from, old, chosen, now));
    } catch (error) {
      complain(error);
    }
  };
  show();
  return [h("div.field.inline", h("label", { for: "other" }, `${chosen} beside`), pick), told, place];
}

const inWords = (differences) =>
  differences.length
    ? h(
        "ul.differences",
        differences.map(({ text }) => h("li", text)),
      )
    : h("p", "They do not differ.");

/** A table of the lines of two documents, those of one node beside those of the node of that name. */
function beside(from, old, to, now) {
  const [left, right] = [old, now].map(sections);
  const names = [...new Set([...left.keys(), ...right.keys()])].sort();
  const rows = names.flatMap((name) => align(left.get(name) ?? [], right.get(name) ?? []));
  const heads = [from, to].map((version) => h("th", { scope: "col" }, version));
  return h("table.sides", h("thead", h("tr", heads)), h("tbody", shortened(rows).map(part)));
}

/** The lines of a document's nodes by name, and of all else below the empty one. */
function sections({ nodes, ...rest }) {
  const lines = (value) => print(value, 2).split("\n");
  return new Map([["", lines(rest)], ...nodes.map((node) => [node.name, lines(node)])]);
}

const part = (each) => (each.hidden ? folded(each.hidden) : row(each));

function row([left, right]) {
  const differs = left === right ? "" : ".differs";
  return h("tr", cell(left, differs), cell(right, differs));
}

const cell = (line, differs) => (line === null ? h("td.nothing") : h(`td${differs}`, line));

/** Lines that are alike, in place of which their number is shown until somebody wants to see them. */
function folded(rows) {
  const open = () => line.replaceWith(...rows.map(row));
  const button = h("button.quiet", { type: "button", onclick: open }, `${plural(rows.length, "line")} alike`);
  const line = h("tr", h("td.folded", { colspan: 2 }, button));
  return line;
}
