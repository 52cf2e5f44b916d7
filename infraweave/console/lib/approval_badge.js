// How many people are being asked something, beside the link to the approvals.

import { get, Unreachable } from "./api.js";
import { h } from "./dom.js";
import { complain } from "./widgets.js";

export const badge = h("span.badge", { hidden: true });

/** Count anew. */
export async function countApprovals() {
  try {
    const { total } = await get("/v1/input-requests", { limit: 1 });
    badge.textContent = total > 99 ? "99+" : String(total);
    badge.hidden = total === 0;
    badge.setAttribute("aria-label", `${total} open`);
  } catch (error) {
    if (error.status !== 401 && !(error instanceof Unreachable)) complain(error);
  }
}
