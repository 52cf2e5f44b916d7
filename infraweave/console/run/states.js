// The states of runs. Pure.

/** States in the order of a run's life. */
export const RUN_STATES = ["queued", "running", "retrying", "succeeded", "failed", "cancelled"];
const FINAL_STATES = new Set(["succeeded", "failed", "cancelled"]);
export const OPEN_STATES = RUN_STATES.filter((state) => !FINAL_STATES.has(state));

/** Whether a run in this state has ended. */
export const isFinal = (state) => FINAL_STATES.has(state);
