// JSON Merge Patch (RFC 7396), in which null removes a member. Pure.

import { toPointer } from "./json_pointer.js";
import { isObject, isSameJson } from "./lossless_json.js";

const member = (object, key) => (Object.hasOwn(object, key) ? object[key] : undefined);

/** The patch that turns one value into another; undefined when they are equal. */
export function mergePatch(before, after) {
  if (isSameJson(before, after)) return undefined;
  if (!isObject(before) || !isObject(after)) return after;
  const removed = Object.keys(before).filter((key) => !Object.hasOwn(after, key));
  const changed = Object.entries(after)
    .map(([key, value]) => [key, mergePatch(member(before, key), value)])
    .filter(([, value]) => value !== undefined);
  return Object.fromEntries([...removed.map((key) => [key, null]), ...changed]);
}

/** The JSON Pointer of the first null that no patch can set; null when there is none. */
export function findUnpatchableNull(before, after, path = []) {
  if (after === null) return before === null ? null : toPointer(path);
  if (!isObject(after)) return null;
  const base = isObject(before) ? before : {};
  for (const [key, value] of Object.entries(after)) {
    const found = findUnpatchableNull(member(base, key), value, [...path, key]);
    if (found !== null) return found;
  }
  return null;
}
