// Addresses within the console: links, and going to another page. The page itself is shown by who listens.

import { h } from "./dom.js";

/** The path that all pages of the console are below, with its slash. */
export const base = new URL(document.baseURI).pathname;

/** Go to another page of the console; a path below /console/, with its query. */
export function go(path, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", base + path);
  window.dispatchEvent(new Event("navigated"));
}

/** Change the query of the page that is shown, without showing it anew. */
export function setQuery(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = given.length ? `?${new URLSearchParams(given)}` : "";
  history.replaceState(null, "", location.pathname + text);
}

/** A link within the console. */
export const link = (path, ...children) => h("a", { href: base + path }, ...children);
