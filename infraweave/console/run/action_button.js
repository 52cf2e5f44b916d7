// A button for an action on a run, which is disabled when the action is not allowed or not possible.

import { missingGrant } from "../lib/session.js";
import { button, disableWithReason } from "../lib/widgets.js";

/**
 * Make the button of an action on the run that `getRun` returns.
 *
 * action: the grant that it needs; open(run): opens its dialog; reason: why it is not possible, or null.
 */
export function actionButton(label, action, getRun, open, reason = null, kind = "") {
  const element = button(label, () => open(getRun()), { kind });
  return disableWithReason(element, missingGrant(action, getRun().workflow_id) ?? reason);
}
