// JSON whose numbers stay exactly as they are written: 9007199254740993, 1.0, -0 and 1e400 keep every character. Pure.

/** A number that JavaScript would write differently; it converts to a number where one is needed. */
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

/** Marks the text of an exact number inside a string. It is random, so real data does not contain it. */
const MARK = `number ${Math.random()} `;
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const MARKED = new RegExp(`"${MARK.replaceAll(".", "\\.")}([^"]*)"`, "g");

const keepsItsText = (token) => token.startsWith('"') || String(Number(token)) === token;
const isMarked = (value) => typeof value === "string" && value.startsWith(MARK);

/** Parse JSON. Throws SyntaxError when it is not valid. */
export function parseJson(text) {
  const value = JSON.parse(text);
  const marked = text.replace(TOKEN, (token) => (keepsItsText(token) ? token : `"${MARK}${token}"`));
  if (marked === text) return value;
  return JSON.parse(marked, (_, each) => (isMarked(each) ? new ExactNumber(each.slice(MARK.length)) : each));
}

/** Write a value as JSON; `indent` is that of JSON.stringify. */
export function stringifyJson(value, indent = undefined) {
  const mark = (_, each) => (each instanceof ExactNumber ? MARK + each.text : each);
  return JSON.stringify(value, mark, indent)?.replace(MARKED, "$1");
}

/** Whether two values have the same JSON. */
export const isSameJson = (one, other) => stringifyJson(one) === stringifyJson(other);

/** Whether a value is an array or an object. */
export const isContainer = (value) => value !== null && typeof value === "object" && !(value instanceof ExactNumber);

/** Whether a value is a JSON object. */
export const isObject = (value) => isContainer(value) && !Array.isArray(value);

/** A copy of a value with JavaScript numbers, which may be rounded, for calculations. */
export const toPlainNumbers = (value) => JSON.parse(stringifyJson(value));
