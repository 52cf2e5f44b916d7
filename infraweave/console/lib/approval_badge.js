// The number of open input requests, shown beside the link to the approvals.

import { getJson, NetworkError } from "./api.js";
import { h } from "./dom.js";
import { reportError } from "./notices.js";

export const approvalBadge = h("span.badge", { hidden: true });

/** Ask the server for the number of open requests and show it. */
export async function updateApprovalBadge() {
  try {
    const { total } = await getJson("/v1/input-requests", { limit: 1 });
    approvalBadge.textContent = total > 99 ? "99+" : String(total);
    approvalBadge.hidden = total === 0;
    approvalBadge.setAttribute("aria-label", `${total} open`);
  } catch (error) {
    if (error.status !== 401 && !(error instanceof NetworkError)) reportError(error);
  }
}
