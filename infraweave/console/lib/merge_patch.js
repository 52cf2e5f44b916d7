// What to send for a value that was edited: a JSON Merge Patch, in which null takes a member away. Pure.

import { isObject, same } from "./lossless_json.js";

const member = (object, key) => (Object.hasOwn(object, key) ? object[key] : undefined);

/** The JSON Merge Patch that makes one value of another; undefined where they are equal. */
export function difference(before, after) {
  if (same(before, after)) return undefined;
  if (!isObject(before) || !isObject(after)) return after;
  const gone = Object.keys(before).filter((key) => !Object.hasOwn(after, key));
  const changed = Object.entries(after).map(([key, value]) => [key, difference(member(before, key), value)]);
  return Object.fromEntries([...gone.map((key) => [key, null]), ...changed.filter(([, value]) => value !== undefined)]);
}

/** The path of a null that no patch can put there, as a JSON Pointer; null where there is none. */
export function unsayable(before, after, path = "") {
  if (after === null) return before === null ? null : path;
  if (!isObject(after)) return null;
  const base = isObject(before) ? before : {};
  for (const [key, value] of Object.entries(after)) {
    const found = unsayable(member(base, key), value, `${path}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`);
    if (found !== null) return found;
  }
  return null;
}
