// Two texts beside each other: which line of one stands beside which line of the other. Pure.

/** Cells of a table of lines that are compared one with another at most; larger ones are not looked into. */
const MOST = 4_000_000;

/** Align two lists of lines; returns rows [left, right], in which null stands for a line that only one has. */
export function align(left, right) {
  let start = 0;
  while (start < left.length && start < right.length && left[start] === right[start]) start += 1;
  let end = 0;
  const rest = Math.min(left.length, right.length) - start;
  while (end < rest && left[left.length - 1 - end] === right[right.length - 1 - end]) end += 1;
  const [inLeft, inRight] = [left, right].map((lines) => lines.slice(start, lines.length - end));
  return [
    ...left.slice(0, start).map((line) => [line, line]),
    ...between(inLeft, inRight),
    ...left.slice(left.length - end).map((line) => [line, line]),
  ];
}

/** Align lines whose first ones differ, and their last ones, by their longest common subsequence. */
function between(left, right) {
  const rows = [];
  let gone = [],
    come = [];
  const settle = () => {
    for (let n = 0; n < Math.max(gone.length, come.length); n += 1) rows.push([gone[n] ?? null, come[n] ?? null]);
    [gone, come] = [[], []];
  };
  const common = left.length * right.length > MOST ? null : lengths(left, right);
  let [i, j] = [0, 0];
  while (i < left.length || j < right.length) {
    if (common && i < left.length && j < right.length && left[i] === right[j]) {
      settle();
      rows.push([left[i++], right[j++]]);
    } else if (j >= right.length || (i < left.length && (!common || common[i + 1][j] >= common[i][j + 1]))) {
      gone.push(left[i++]);
    } else come.push(right[j++]);
  }
  settle();
  return rows;
}

/** How many lines the rests of two lists have in common, from each place in them on. */
function lengths(left, right) {
  const table = Array.from({ length: left.length + 1 }, () => new Uint32Array(right.length + 1));
  for (let i = left.length - 1; i >= 0; i -= 1)
    for (let j = right.length - 1; j >= 0; j -= 1)
      table[i][j] = left[i] === right[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
  return table;
}

/** Leave out what is alike far from any difference: rows, and numbers of rows that are left out. */
export function shortened(rows, around = 3) {
  const near = new Set();
  rows.forEach(([left, right], at) => {
    if (left !== right) for (let n = at - around; n <= at + around; n += 1) near.add(n);
  });
  const parts = [];
  rows.forEach((row, at) => {
    if (near.has(at)) parts.push(row);
    else if (Array.isArray(parts.at(-1)?.hidden)) parts.at(-1).hidden.push(row);
    else parts.push({ hidden: [row] });
  });
  return parts;
}
