// JSON Pointers (RFC 6901). Pure.

/** Return the pointer to a value; `tokens` are the keys and indexes that lead to it. */
export const toPointer = (tokens) =>
  tokens.map((token) => `/${String(token).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");

/** Return the keys and indexes of a pointer in a URL's fragment, as "$ref" has it. */
export const fromFragment = (fragment) =>
  fragment
    .slice(1)
    .split("/")
    .slice(1)
    .map((token) => decodeURIComponent(token).replaceAll("~1", "/").replaceAll("~0", "~"));
