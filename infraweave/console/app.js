// The console: who is signed in, which page is shown, and what is around it.

import { closeStream, Unreachable } from "./lib/api.js";
import { badge, countApprovals } from "./lib/approval_badge.js";
import { h, put } from "./lib/dom.js";
import { base, go, link } from "./lib/router.js";
import { forget, may, resume, signInWithCode, signOut, who } from "./lib/session.js";
import { signInPage } from "./pages/sign_in.js";
import { complain, empty, icon, iconButton, notice, tick } from "./lib/widgets.js";

const PAGES = [
  [/^runs$/, () => import("./pages/runs.js"), "Runs"],
  [/^runs\/([^/]+)$/, () => import("./pages/run.js"), "Run"],
  [/^approvals$/, () => import("./pages/approvals.js"), "Approvals"],
  [/^workflows$/, () => import("./pages/workflows.js"), "Workflows"],
  [/^workflows\/([^/]+)$/, () => import("./pages/workflow.js"), "Workflow"],
  [/^triggers$/, () => import("./pages/triggers.js"), "Triggers"],
  [/^overview$/, () => import("./pages/overview.js"), "Overview"],
];
const SECTIONS = [
  ["runs", "Runs"],
  ["approvals", "Approvals"],
  ["workflows", "Workflows"],
  ["triggers", "Triggers"],
  ["overview", "Overview"],
];

const main = h("main", { id: "main", tabindex: "-1" });
let leave = null,
  turn = 0;

function current() {
  const path = location.pathname.startsWith(base) ? location.pathname.slice(base.length) : "";
  return path.replace(/\/$/, "") || "runs";
}

async function show() {
  const mine = ++turn;
  leave?.();
  leave = null;
  closeStream();
  const path = current();
  const [pattern, load, title] = PAGES.find(([each]) => each.test(path)) ?? [null];
  mark(path.split("/")[0]);
  if (!pattern) {
    put(main, empty("There is no such page", "The address may be mistyped.", link("runs", "All runs")));
    return;
  }
  document.title = `${title} · InfraWeave`;
  const parameters = new URLSearchParams(location.search);
  // Each page has a place of its own: one that comes too late draws where nobody looks, and sees that it is not shown.
  const place = h("div.place");
  put(main, place);
  const parts = path.match(pattern).slice(1).map(decodeURIComponent);
  try {
    const page = await load().catch(unloaded);
    if (mine !== turn) return;
    const left = await page.open(place, parameters, ...parts);
    if (mine === turn) leave = left;
    else left?.();
  } catch (error) {
    if (mine === turn) failed(error);
  }
}

/** A module that could not be fetched stays failed for the life of the page. */
function unloaded(error) {
  throw Object.assign(new Unreachable("A part of the console could not be fetched."), { cause: error, reload: true });
}

function failed(error) {
  if (error.status === 401 || error.name === "AbortError") return;
  const again = h("button.primary", { onclick: () => (error.reload ? location.reload() : show()) }, "Try again");
  const title = error instanceof Unreachable ? "The server does not answer" : "This cannot be shown";
  put(main, empty(title, error.message, again));
  if (!error.status && !(error instanceof Unreachable)) throw error;
}

function mark(section) {
  for (const each of document.querySelectorAll("nav a[data-section]")) {
    if (each.dataset.section === section) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
}

function shell() {
  const nav = h(
    "nav",
    { "aria-label": "Console" },
    h(
      "a.brand",
      { href: `${base}runs` },
      h("img", { src: `${base}static/icon.svg`, alt: "", width: 24, height: 24 }),
      h("span", "InfraWeave"),
    ),
    SECTIONS.map(([path, label]) =>
      h("a", { href: base + path, "data-section": path }, icon(path), h("span", label), path === "approvals" && badge),
    ),
    h("div.spring"),
    h("div.who", { title: who.grants.join("\n") }, h("b", who.principal), h("span", who.tenant)),
    iconButton("theme", "Light or dark", turnTheme),
    iconButton("out", "Sign out", leaveConsole),
  );
  put(
    document.body,
    h(
      "a.skip",
      {
        href: "#main",
        onclick: (event) => {
          event.preventDefault();
          main.focus();
        },
      },
      "Skip to content",
    ),
    nav,
    main,
    document.querySelector(".notices"),
  );
}

function turnTheme() {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("infraweave.theme", document.documentElement.dataset.theme);
}

async function leaveConsole() {
  try {
    await signOut();
  } catch (error) {
    complain(error);
  }
  begin();
}

/** Turn clicks on our own links into page changes. */
function follow(event) {
  const anchor = event.target.closest?.("a[href]");
  if (!anchor || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.defaultPrevented) return;
  const url = new URL(anchor.href);
  if (url.origin !== location.origin || !url.pathname.startsWith(base) || anchor.target) return;
  event.preventDefault();
  go(url.pathname.slice(base.length) + url.search);
}

/** The one-time code of a sign-in link; a tab that shows the console already is told of it by the address alone. */
const codeInAddress = () => new URLSearchParams(location.hash.slice(1)).get("code");

async function begin() {
  turn += 1;
  leave?.();
  leave = null;
  closeStream();
  const code = codeInAddress();
  if (code) {
    history.replaceState(null, "", location.pathname + location.search);
    try {
      await signInWithCode(code);
    } catch (error) {
      notice(
        error.status === 401
          ? `This sign-in link was used before, or is too old.${who ? "" : " Paste a token instead."}`
          : error.message,
        "bad",
      );
    }
  }
  try {
    if (who || (await resume())) return enter();
    signInPage(enter);
  } catch (error) {
    put(
      document.body,
      h(
        "main",
        empty("The server does not answer", error.message, h("button.primary", { onclick: begin }, "Try again")),
      ),
      document.querySelector(".notices"),
    );
  }
}

function enter() {
  shell();
  show();
  if (may("read")) countApprovals();
}

const theme = localStorage.getItem("infraweave.theme");
if (theme) document.documentElement.dataset.theme = theme;
document.addEventListener("click", follow);
window.addEventListener("popstate", () => who && show());
window.addEventListener("navigated", show);
window.addEventListener("hashchange", () => codeInAddress() && begin());
window.addEventListener("signed-out", () => {
  if (!who) return;
  forget();
  notice("The token is not taken any more; sign in again.", "bad");
  begin();
});
setInterval(tick, 1000);
begin();
