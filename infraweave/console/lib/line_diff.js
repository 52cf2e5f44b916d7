// A line-by-line comparison of two texts. Pure.

/** The largest table of line pairs that is searched for common lines; larger texts are shown as all different. */
const MAX_PAIRS = 4_000_000;

/** Align two lists of lines; returns rows [left, right], with null for a line that only one side has. */
export function alignLines(left, right) {
  const shorter = Math.min(left.length, right.length);
  let start = 0;
  while (start < shorter && left[start] === right[start]) start += 1;
  let end = 0;
  while (end < shorter - start && left.at(-1 - end) === right.at(-1 - end)) end += 1;
  const [leftMiddle, rightMiddle] = [left, right].map((lines) => lines.slice(start, lines.length - end));
  return [
    ...left.slice(0, start).map((line) => [line, line]),
    ...alignMiddle(leftMiddle, rightMiddle),
    ...left.slice(left.length - end).map((line) => [line, line]),
  ];
}

/** Align lines by their longest common subsequence. */
function alignMiddle(left, right) {
  const common = left.length * right.length > MAX_PAIRS ? null : commonLengths(left, right);
  const rows = [];
  let removed = [];
  let added = [];
  const flush = () => {
    const count = Math.max(removed.length, added.length);
    for (let n = 0; n < count; n += 1) rows.push([removed[n] ?? null, added[n] ?? null]);
    [removed, added] = [[], []];
  };
  let [i, j] = [0, 0];
  while (i < left.length || j < right.length) {
    const inBoth = i < left.length && j < right.length;
    if (common && inBoth && left[i] === right[j]) {
      flush();
      rows.push([left[i++], right[j++]]);
    } else if (i < left.length && (!inBoth || !common || common[i + 1][j] >= common[i][j + 1])) {
      removed.push(left[i++]);
    } else added.push(right[j++]);
  }
  flush();
  return rows;
}

/** For each pair of positions, the length of the longest common subsequence of the lines from there on. */
function commonLengths(left, right) {
  const table = Array.from({ length: left.length + 1 }, () => new Uint32Array(right.length + 1));
  for (let i = left.length - 1; i >= 0; i -= 1)
    for (let j = right.length - 1; j >= 0; j -= 1)
      table[i][j] = left[i] === right[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
  return table;
}

/** Replace equal rows that are far from any difference by {hidden: rows}. */
export function foldEqualRows(rows, context = 3) {
  const shown = new Set();
  rows.forEach(([left, right], at) => {
    if (left !== right) for (let n = at - context; n <= at + context; n += 1) shown.add(n);
  });
  const folded = [];
  rows.forEach((row, at) => {
    if (shown.has(at)) folded.push(row);
    else if (folded.at(-1)?.hidden) folded.at(-1).hidden.push(row);
    else folded.push({ hidden: [row] });
  });
  return folded;
}
