// The bar with the actions on the selected runs.

import { fetchJson } from "../lib/api.js";
import { openDialog } from "../lib/dialogs.js";
import { h, setContent } from "../lib/dom.js";
import { pluralize } from "../lib/format.js";
import { notify } from "../lib/notices.js";
import { isAllowed } from "../lib/session.js";
import { segment } from "../lib/url.js";
import { button } from "../lib/widgets.js";
import { openCancelDialog } from "../run/actions.js";
import { openRerunDialog } from "../run/rerun_dialog.js";
import { isFinal } from "../run/states.js";

/** Make the bar: {box, show(runs)}. onCancelled() is called after runs were cancelled, onClear() to select none. */
export function createBulkBar(onCancelled, onClear) {
  const box = h("div.bulk", { hidden: true });
  return {
    box,
    show(runs) {
      box.hidden = runs.length === 0;
      const open = runs.filter((run) => !isFinal(run.state) && isAllowed("cancel", run.workflow_id));
      const canRerun = runs.length === 1 && isFinal(runs[0].state) && isAllowed("execute", runs[0].workflow_id);
      const cancelLabel = `Cancel ${pluralize(open.length, "run")}`;
      setContent(
        box,
        `${pluralize(runs.length, "run")} selected`,
        open.length > 0 && button(cancelLabel, () => openCancel(open, cancelLabel, onCancelled), { kind: "primary" }),
        canRerun && button("Rerun", () => openRerunDialog(runs[0])),
        button("Clear selection", onClear, { kind: "quiet" }),
      );
    },
  };
}

function openCancel(runs, label, onCancelled) {
  if (runs.length === 1) return openCancelDialog(runs[0], onCancelled);
  openDialog(label, (close) => {
    const cancel = async () => {
      close();
      await cancelAll(runs);
      onCancelled();
    };
    return h(
      "div",
      h(
        "p",
        "Nodes that are running are asked to stop. Then completed nodes that have a compensation are compensated, in " +
          "reverse order.",
      ),
      h("footer", h("div.spacer"), button("Keep them", close), button(label, cancel, { kind: "primary" })),
    );
  });
}

/** Cancel runs, and say how many could not be cancelled. */
async function cancelAll(runs) {
  const cancel = ({ run_id: id }) => fetchJson("POST", `/v1/runs/${segment(id)}/cancel`, { body: {} });
  const results = await Promise.allSettled(runs.map(cancel));
  const failed = results.filter(({ status }) => status === "rejected");
  if (failed.length)
    notify(`${failed.length} of ${runs.length} could not be cancelled: ${failed[0].reason.message}`, "bad");
  else notify(`${pluralize(runs.length, "run")} cancelled`);
}
