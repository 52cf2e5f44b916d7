// The actions on a run, and the dialogs of those that need no form.

import { openRequestDialog } from "../lib/dialogs.js";
import { h } from "../lib/dom.js";
import { notify } from "../lib/notices.js";
import { pythonLiteral, runHandle } from "../lib/snippets.js";
import { segment } from "../lib/url.js";
import { labelled } from "../lib/widgets.js";
import { actionButton } from "./action_button.js";
import { openRerunDialog } from "./rerun_dialog.js";
import { openSignalDialog } from "./signal_dialog.js";
import { isFinal } from "./states.js";

/** The action buttons of a run. getRun() returns it as it is now; onChange(run) is called after an action. */
export function actionButtons(getRun, onChange) {
  const run = getRun();
  if (isFinal(run.state))
    return [actionButton("Rerun", "execute", getRun, (now) => openRerunDialog(now), null, "primary")];
  const isSetAside = Boolean(run.set_aside);
  const isStopping = run.cancel_requested ? "The run is already being cancelled." : null;
  const noSignal = isSetAside ? "The run is set aside and accepts no signals. Resume it first." : isStopping;
  return [
    isSetAside && actionButton("Resume", "operate", getRun, (now) => openResumeDialog(now, onChange), null, "primary"),
    actionButton(
      "Cancel",
      "cancel",
      getRun,
      (now) => openCancelDialog(now, onChange),
      isStopping,
      isSetAside ? "" : "primary",
    ),
    actionButton("Rerun", "execute", getRun, () => {}, "Only a run that has ended can be rerun."),
    actionButton("Signal", "signal", getRun, (now) => openSignalDialog(now), noSignal),
    actionButton("Terminate", "operate", getRun, (now) => openTerminateDialog(now, onChange), null, "danger"),
  ];
}

/** The request of an action whose body has at most a reason. */
const actionRequest = (run, action, reason = "") => ({
  method: "POST",
  path: `/v1/runs/${segment(run.run_id)}/${action}`,
  ...(action !== "resume" && { body: reason ? { reason } : {} }),
  python: `await ${runHandle(run.run_id)}.${action}(${reason ? pythonLiteral(reason) : ""})`,
});

const reasonInput = () => h("input", { type: "text", maxlength: 2000, id: "reason" });

export function openCancelDialog(run, onChange) {
  const reason = reasonInput();
  openRequestDialog("Cancel this run", {
    text: [
      "Nodes that are running are asked to stop and may clean up. Then completed nodes that have a compensation are " +
        "compensated, in reverse order. The run ends as cancelled.",
      ...(run.nodes ? [completedText(run)] : []),
    ],
    fields: labelled("Reason", reason, { hint: "optional" }),
    label: "Cancel the run",
    makeRequest: () => actionRequest(run, "cancel", reason.value),
    onDone(response) {
      notify("The run is being cancelled");
      onChange(response);
    },
  });
}

function completedText(run) {
  const completed = run.nodes.filter(({ state }) => state === "succeeded").map(({ node }) => node);
  return completed.length ? `Completed so far: ${completed.join(", ")}.` : "No node has completed yet.";
}

function openResumeDialog(run, onChange) {
  openRequestDialog("Resume this run", {
    text: [
      "The server died three times in a row while it resumed this run, so it set the run aside and continued with " +
        "all others. Resuming continues the run from its last event.",
      "If the server dies once more, everything that it runs is interrupted, and this run is set aside again.",
    ],
    label: "Resume the run",
    makeRequest: () => actionRequest(run, "resume"),
    onDone(response) {
      notify("The run was resumed");
      onChange(response);
    },
  });
}

function openTerminateDialog(run, onChange) {
  const reason = reasonInput();
  const confirmation = h("input", {
    type: "text",
    id: "confirmation",
    autocomplete: "off",
    spellcheck: "false",
    "data-word": "terminate",
  });
  openRequestDialog("Terminate this run", {
    text: [
      "This ends the run at once, by force. No clean-up and no compensation will run. What its nodes have done stays " +
        "done, and results that still arrive are ignored. This cannot be undone.",
    ],
    fields: h(
      "div.fields",
      labelled("Reason", reason, { hint: "optional" }),
      labelled(["Type ", h("b", "terminate"), " to confirm"], confirmation),
    ),
    label: "Terminate by force",
    kind: "danger",
    confirmation,
    makeRequest: () => actionRequest(run, "terminate", reason.value),
    onDone(response) {
      notify("The run was terminated");
      onChange(response);
    },
  });
}
