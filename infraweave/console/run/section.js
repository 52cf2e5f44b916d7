// A section of a page that is rendered again only when what it shows has changed.

import { h, setContent } from "../lib/dom.js";
import { stringifyJson } from "../lib/lossless_json.js";

/** Make a section: {box, update()}. It is rendered when the JSON of `value()` differs from the last time. */
export function section(value, render) {
  const box = h("div.part");
  let last = null;
  return {
    box,
    update() {
      const now = stringifyJson(value());
      if (now === last) return;
      last = now;
      setContent(box, render());
    },
  };
}
