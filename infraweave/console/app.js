// The console: it signs people in, and shows the page of the address inside the navigation.

import { NetworkError } from "./lib/api.js";
import { updateApprovalBadge } from "./lib/approval_badge.js";
import { h, setContent } from "./lib/dom.js";
import { closeEventStream } from "./lib/event_stream.js";
import { notify, reportError, setPage } from "./lib/notices.js";
import { consolePath, link, navigate } from "./lib/router.js";
import { clearSession, identity, isAllowed, restoreSession, signInWithCode, signOut } from "./lib/session.js";
import { restoreTheme } from "./lib/theme.js";
import { emptyState, refreshTimes } from "./lib/widgets.js";
import { createNavigation, markSection } from "./pages/navigation.js";
import { showSignIn } from "./pages/sign_in.js";

const PAGES = [
  [/^runs$/, () => import("./pages/runs.js"), "Runs"],
  [/^runs\/([^/]+)$/, () => import("./pages/run.js"), "Run"],
  [/^approvals$/, () => import("./pages/approvals.js"), "Approvals"],
  [/^workflows$/, () => import("./pages/workflows.js"), "Workflows"],
  [/^workflows\/([^/]+)$/, () => import("./pages/workflow.js"), "Workflow"],
  [/^triggers$/, () => import("./pages/triggers.js"), "Triggers"],
  [/^overview$/, () => import("./pages/overview.js"), "Overview"],
];

const main = h("main", { id: "main", tabindex: "-1" });
let closePage = null;
/** Counts the pages that were asked for: one that loads too late is not shown. */
let pageNumber = 0;

function startPage() {
  closePage?.();
  closePage = null;
  closeEventStream();
  return ++pageNumber;
}

async function showPage() {
  const number = startPage();
  const path = currentPath();
  markSection(path.split("/")[0]);
  const [pattern, load, title] = PAGES.find(([each]) => each.test(path)) ?? [];
  if (!pattern) {
    setContent(main, emptyState("Page not found", "Check the address.", link("runs", "All runs")));
    return;
  }
  document.title = `${title} · InfraWeave`;
  // Each page has its own element: a page that loads too late renders into one that is no longer shown.
  const place = h("div.place");
  setContent(main, place);
  try {
    const page = await load().catch(onModuleError);
    if (number !== pageNumber) return;
    const names = path.match(pattern).slice(1).map(decodeURIComponent);
    const close = await page.open(place, new URLSearchParams(location.search), ...names);
    if (number === pageNumber) closePage = close;
    else close?.();
  } catch (error) {
    if (number === pageNumber) showError(error);
  }
}

function currentPath() {
  const path = location.pathname.startsWith(consolePath) ? location.pathname.slice(consolePath.length) : "";
  return path.replace(/\/$/, "") || "runs";
}

/** Browsers do not load a module again after it failed, so only a reload of the page helps. */
function onModuleError(cause) {
  throw Object.assign(new NetworkError("A part of the console could not be loaded."), { cause, needsReload: true });
}

function showError(error) {
  if (error.status === 401 || error.name === "AbortError") return;
  const isNetworkError = error instanceof NetworkError;
  const onclick = () => (error.needsReload ? location.reload() : showPage());
  const title = isNetworkError ? "The server does not respond" : "This page could not be shown";
  setContent(main, emptyState(title, error.message, h("button.primary", { onclick }, "Try again")));
  if (!error.status && !isNetworkError) throw error;
}

/** Sign in with what there is, a one-time code or the tab's token, and show the console; else ask for a token. */
async function start() {
  startPage();
  const code = codeInAddress();
  if (code) await tryCode(code);
  try {
    if (identity || (await restoreSession())) showConsole();
    else showSignIn(showConsole);
  } catch (error) {
    const retry = h("button.primary", { onclick: start }, "Try again");
    setPage(h("main", emptyState("The server does not respond", error.message, retry)));
  }
}

/** The one-time code of a sign-in link. It is in the fragment, which browsers do not send to the server. */
const codeInAddress = () => new URLSearchParams(location.hash.slice(1)).get("code");

async function tryCode(code) {
  history.replaceState(null, "", location.pathname + location.search);
  try {
    await signInWithCode(code);
  } catch (error) {
    const message = `This sign-in link was used before, or has expired.${identity ? "" : " Paste a token instead."}`;
    notify(error.status === 401 ? message : error.message, "bad");
  }
}

function showConsole() {
  const onSkip = (event) => {
    event.preventDefault();
    main.focus();
  };
  setPage(h("a.skip", { href: "#main", onclick: onSkip }, "Skip to content"), createNavigation(onSignOut), main);
  showPage();
  if (isAllowed("read")) updateApprovalBadge();
}

async function onSignOut() {
  try {
    await signOut();
  } catch (error) {
    reportError(error);
  }
  start();
}

function onTokenRejected() {
  if (!identity) return;
  clearSession();
  notify("The token is no longer valid. Sign in again.", "bad");
  start();
}

/** Follow links within the console without loading the page again. */
function onClick(event) {
  const anchor = event.target.closest?.("a[href]");
  if (!anchor || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.defaultPrevented) return;
  const url = new URL(anchor.href);
  if (url.origin !== location.origin || !url.pathname.startsWith(consolePath) || anchor.target) return;
  event.preventDefault();
  navigate(url.pathname.slice(consolePath.length) + url.search);
}

restoreTheme();
document.addEventListener("click", onClick);
window.addEventListener("popstate", () => identity && showPage());
window.addEventListener("navigated", showPage);
window.addEventListener("hashchange", () => codeInAddress() && start());
window.addEventListener("signed-out", onTokenRejected);
setInterval(refreshTimes, 1000);
start();
