// JSON whose numbers stay as they are written: 9007199254740993, 1.0, -0 and 1e400 keep every character.

/** A number that JavaScript would write otherwise; it reads as a number where one is wanted. */
export class ExactNumber {
  constructor(text) {
    this.text = text;
  }
  valueOf() {
    return Number(this.text);
  }
  toString() {
    return this.text;
  }
}

/** Stands before the text of a number within a string; nobody's data has it, for every page draws another one. */
const MARK = `number ${Math.random()} `;
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const MARKED = new RegExp(`"${MARK.replaceAll(".", "\\.")}([^"]*)"`, "g");

const isPlain = (token) => token.startsWith('"') || String(Number(token)) === token;

/** Read JSON. Throws SyntaxError where it is none. */
export function parse(text) {
  const value = JSON.parse(text);
  let changed = 0;
  const marked = text.replace(TOKEN, (token) => {
    if (isPlain(token)) return token;
    changed += 1;
    return `"${MARK}${token}"`;
  });
  return changed
    ? JSON.parse(marked, (_, each) => (isMarked(each) ? new ExactNumber(each.slice(MARK.length)) : each))
    : value;
}

const isMarked = (value) => typeof value === "string" && value.startsWith(MARK);

/** Write a value as JSON; `indent` as JSON.stringify has it. */
export function print(value, indent = undefined) {
  const mark = (_, each) => (each instanceof ExactNumber ? MARK + each.text : each);
  return JSON.stringify(value, mark, indent)?.replace(MARKED, "$1");
}

/** Whether two values are written alike. */
export const same = (one, other) => print(one) === print(other);

/** Whether a value is a list or an object. */
export const isTree = (value) => value !== null && typeof value === "object" && !(value instanceof ExactNumber);

/** Whether a value is an object, as JSON has them. */
export const isObject = (value) => isTree(value) && !Array.isArray(value);

/** A value whose numbers are those that JavaScript computes with and compares. */
export const rounded = (value) => JSON.parse(print(value));
