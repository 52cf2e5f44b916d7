// Short messages in the corner of the page, which disappear by themselves.

import { h } from "./dom.js";

const notices = h("div.notices", { role: "status", "aria-live": "polite" });
document.body.append(notices);

/** Show a message for some seconds; kind "bad" stays longer. */
export function notify(text, kind = "good") {
  const box = h(`div.notice.${kind}`, text);
  notices.append(box);
  setTimeout(() => box.remove(), kind === "bad" ? 9000 : 3500);
}

/** Show the message of an error. */
export function reportError(error) {
  if (error.name !== "AbortError") notify(error.message, "bad");
}

/** Replace the page's whole content, but keep the messages. */
export const setPage = (...content) => document.body.replaceChildren(...content, notices);

export async function copyToClipboard(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    notify(`${what} copied`);
  } catch {
    notify(`The browser did not allow the ${what} to be copied.`, "bad");
  }
}
