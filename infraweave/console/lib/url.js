// Parts of URLs. Pure.

/** Encode one segment of a path. */
export const segment = encodeURIComponent;

/** Return a path with a query; values that are null, undefined or empty are left out. */
export function withQuery(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}
