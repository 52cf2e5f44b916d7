// Two versions of a workflow side by side: a list of the differences, then both documents line by line.

import { getJson } from "../lib/api.js";
import { h, setContent } from "../lib/dom.js";
import { pluralize } from "../lib/format.js";
import { alignLines, foldEqualRows } from "../lib/line_diff.js";
import { stringifyJson } from "../lib/lossless_json.js";
import { reportError } from "../lib/notices.js";
import { segment } from "../lib/url.js";
import { dropdown } from "../lib/widgets.js";

/** Compare a version with another one, by default the active one. */
export function versionDiff(id, workflow, version) {
  const others = workflow.versions.filter((each) => each.version !== version).toReversed();
  if (!others.length) return h("p.muted", "There is no other version.");
  const summary = h("div", { "aria-live": "polite" });
  const table = h("div.scroll-x");
  const options = others.map((other) => [other.version, other.version]);
  const active = others.find((other) => other.active)?.version;
  const select = dropdown({ id: "other", onchange: () => load() }, options, active);
  const load = async () => {
    const other = select.value;
    try {
      const [{ differences }, left, right] = await Promise.all([
        getJson(`/v1/workflows/${segment(id)}/diff`, { from: other, to: version }),
        ...[other, version].map((each) => getJson(`/v1/workflows/${segment(id)}/versions/${segment(each)}`)),
      ]);
      if (other !== select.value) return;
      setContent(summary, renderDifferences(differences));
      setContent(table, sideBySide(other, left, version, right));
    } catch (error) {
      reportError(error);
    }
  };
  load();
  return [h("div.field.inline", h("label", { for: "other" }, `Compare ${version} with`), select), summary, table];
}

function renderDifferences(differences) {
  if (!differences.length) return h("p", "The versions do not differ.");
  const items = differences.map(({ text }) => h("li", text));
  return h("ul.differences", items);
}

/** A table of the lines of two documents; nodes with the same name are aligned. */
function sideBySide(leftVersion, left, rightVersion, right) {
  const [leftLines, rightLines] = [left, right].map(linesByNode);
  const names = [...new Set([...leftLines.keys(), ...rightLines.keys()])].sort();
  const rows = names.flatMap((name) => alignLines(leftLines.get(name) ?? [], rightLines.get(name) ?? []));
  const head = [leftVersion, rightVersion].map((version) => h("th", { scope: "col" }, version));
  const body = foldEqualRows(rows).map((row) => (row.hidden ? foldedRow(row.hidden) : lineRow(row)));
  return h("table.sides", h("thead", h("tr", head)), h("tbody", body));
}

/** The lines of each node of a document by its name; the rest of the document has the name "". */
function linesByNode({ nodes, ...rest }) {
  const lines = (value) => stringifyJson(value, 2).split("\n");
  return new Map([["", lines(rest)], ...nodes.map((node) => [node.name, lines(node)])]);
}

function lineRow([left, right]) {
  const kind = left === right ? "" : ".differs";
  return h("tr", lineCell(left, kind), lineCell(right, kind));
}

const lineCell = (line, kind) => (line === null ? h("td.nothing") : h(`td${kind}`, line));

/** A row that stands for equal lines until someone asks to see them. */
function foldedRow(rows) {
  const unfold = () => element.replaceWith(...rows.map(lineRow));
  const label = `${pluralize(rows.length, "equal line")}`;
  const button = h("button.quiet", { type: "button", onclick: unfold }, label);
  const element = h("tr", h("td.folded", { colspan: 2 }, button));
  return element;
}
