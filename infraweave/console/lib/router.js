// Addresses within the console: links, and navigation to another page. The app listens and shows the page.

import { h } from "./dom.js";
import { withQuery } from "./url.js";

/** The path that all pages of the console are below, with its trailing slash. */
export const consolePath = new URL(document.baseURI).pathname;

/** Go to another page of the console; `path` is relative to /console/ and may have a query. */
export function navigate(path) {
  history.pushState(null, "", consolePath + path);
  window.dispatchEvent(new Event("navigated"));
}

/** Change the query of the current address without loading the page again; empty values are left out. */
export function setQuery(parameters) {
  history.replaceState(null, "", withQuery(location.pathname, parameters));
}

/** Make a link to a page of the console. */
export const link = (path, ...children) => h("a", { href: consolePath + path }, ...children);
