// The navigation beside the pages: sections, who is signed in, theme and sign-out.

import { approvalBadge } from "../lib/approval_badge.js";
import { h } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { consolePath } from "../lib/router.js";
import { identity } from "../lib/session.js";
import { switchTheme } from "../lib/theme.js";
import { iconButton } from "../lib/widgets.js";

const SECTIONS = [
  ["runs", "Runs"],
  ["approvals", "Approvals"],
  ["workflows", "Workflows"],
  ["triggers", "Triggers"],
  ["overview", "Overview"],
];

export function createNavigation(onSignOut) {
  const logo = h("img", { src: `${consolePath}static/icon.svg`, alt: "", width: 24, height: 24 });
  const sections = SECTIONS.map(([path, label]) =>
    h(
      "a",
      { href: consolePath + path, "data-section": path },
      icon(path),
      h("span", label),
      path === "approvals" && approvalBadge,
    ),
  );
  return h(
    "nav",
    { "aria-label": "Console" },
    h("a.brand", { href: `${consolePath}runs` }, logo, h("span", "InfraWeave")),
    sections,
    h("div.spacer"),
    h("div.identity", { title: identity.grants.join("\n") }, h("b", identity.principal), h("span", identity.tenant)),
    iconButton("theme", "Light or dark", switchTheme),
    iconButton("out", "Sign out", onSignOut),
  );
}

/** Mark the section of the shown page. */
export function markSection(section) {
  for (const anchor of document.querySelectorAll("nav a[data-section]")) {
    if (anchor.dataset.section === section) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
}
