// What one can do to a run. Each says what will happen before it does, and copies as curl or Python.

import { call, get, seg } from "../lib/api.js";
import { go } from "../lib/router.js";
import { difference, unsayable } from "../lib/merge_patch.js";
import { copyAs, py } from "../lib/snippets.js";
import { h, put } from "../lib/dom.js";
import { FormFault, formOrJson, readJson } from "../lib/form.js";
import { print } from "../lib/lossless_json.js";
import { lacks, may } from "../lib/session.js";
import { button, complain, dialog, forbid, notice } from "../lib/widgets.js";

const CONSOLE = { "X-Infraweave-Trigger": "console" };
const ENDED = new Set(["succeeded", "failed", "cancelled"]);

/** A button that opens an action on the run that `now` gives; off and saying why where it is not possible. */
export function actionButton(label, action, now, open, { kind = "", possible = true, why = "" } = {}) {
  const { workflow_id: workflow } = now();
  const reason = may(action, workflow) ? (possible ? null : why) : lacks(action, workflow);
  return forbid(
    button(label, () => open(now()), { kind }),
    reason,
  );
}

/** The buttons of a run; `now` gives it as it is when one is pressed. */
export function actions(now, again) {
  const run = now();
  const ended = ENDED.has(run.state);
  return [
    run.set_aside && actionButton("Resume", "operate", now, (each) => resume(each, again), { kind: "primary" }),
    !ended &&
      actionButton("Cancel", "cancel", now, (each) => cancel(each, again), {
        kind: run.set_aside ? "" : "primary",
        possible: !run.cancel_requested,
        why: "It is being cancelled already.",
      }),
    actionButton("Rerun", "execute", now, (each) => rerun(each), {
      kind: ended ? "primary" : "",
      possible: ended,
      why: "Only a run that has ended can be run again.",
    }),
    !ended &&
      actionButton("Signal", "signal", now, (each) => signal(each), {
        possible: !run.cancel_requested && !run.set_aside,
        why: run.set_aside ? "It is set aside and takes nothing: resume it first." : "It is being cancelled.",
      }),
    !ended && actionButton("Terminate", "operate", now, (each) => terminate(each, again), { kind: "danger" }),
  ];
}

/** Ask, and do: `request()` gives {method, path, body, python}; null while the form does not parse. */
export function ask(
  title,
  { says, inner = null, label, kind = "primary", request, done, ready = null, wrong = complain, wide = false },
) {
  dialog(
    title,
    (close) => {
      const submit = h(`button.${kind}`, { type: "submit" }, label);
      const made = () => {
        try {
          return request();
        } catch (error) {
          if (!(error instanceof FormFault)) throw error;
          return null;
        }
      };
      if (ready) {
        submit.disabled = true;
        ready((is) => {
          submit.disabled = !is;
        });
      }
      return h(
        "form",
        {
          novalidate: true,
          onsubmit: async (event) => {
            event.preventDefault();
            const sent = made();
            if (!sent || submit.disabled) return;
            submit.disabled = true;
            try {
              const answer = await call(sent.method, sent.path, { body: sent.body, headers: CONSOLE });
              close();
              done(answer);
            } catch (error) {
              wrong(error);
            } finally {
              submit.disabled = false;
            }
          },
        },
        says.map((text) => h("p", text)),
        inner,
        h("footer", copyAs(made), h("div.spring"), button("Keep as it is", close), submit),
      );
    },
    { wide },
  );
}

const handle = (run) => `client.run(${py(run.run_id)})`;
const reasonField = () => h("input", { type: "text", maxlength: 2000, id: "reason" });
const withReason = (input) =>
  h("div.field", h("label", { for: "reason" }, "Reason", h("span.faint", " optional")), input);

export function cancel(run, again) {
  const reason = reasonField();
  ask("Cancel this run", {
    says: [
      "What is in flight is asked to stop and may clean up. Then what has completed is undone, in reverse order, " +
        "where its author said how. The run ends as cancelled.",
      ...(run.nodes ? [undone(run)] : []),
    ],
    inner: withReason(reason),
    label: "Cancel the run",
    request: () => ({
      method: "POST",
      path: `/v1/runs/${seg(run.run_id)}/cancel`,
      body: reason.value ? { reason: reason.value } : {},
      python: `await ${handle(run)}.cancel(${reason.value ? py(reason.value) : ""})`,
    }),
    done: (answer) => {
      notice("The run is being cancelled");
      again?.(answer);
    },
  });
}

function undone(run) {
  const finished = run.nodes.filter(({ state }) => state === "succeeded").map(({ node }) => node);
  return finished.length ? `Completed so far: ${finished.join(", ")}.` : "Nothing has completed yet.";
}

function resume(run, again) {
  ask("Resume this run", {
    says: [
      "The server has died three times in a row as it took this run up, so it was set aside while all others go on. " +
        "To resume it is to take it up again from where its events end.",
      "If the server dies once more at that, everything that it serves is interrupted, and the run is set aside again.",
    ],
    label: "Resume the run",
    request: () => ({
      method: "POST",
      path: `/v1/runs/${seg(run.run_id)}/resume`,
      python: `await ${handle(run)}.resume()`,
    }),
    done: (answer) => {
      notice("The run goes on");
      again?.(answer);
    },
  });
}

function terminate(run, again) {
  const reason = reasonField();
  const typed = h("input", { type: "text", id: "typed", autocomplete: "off", spellcheck: "false" });
  ask("Terminate this run", {
    says: [
      "This ends the run at once, by force. No clean-up and no compensation will run: what its nodes have done " +
        "stays done, and what they still do is ignored. It cannot be taken back.",
    ],
    inner: h(
      "div.fields",
      withReason(reason),
      h("div.field", h("label", { for: "typed" }, "Type ", h("b", "terminate"), " to confirm"), typed),
    ),
    label: "Terminate by force",
    kind: "danger",
    ready: (set) => typed.addEventListener("input", () => set(typed.value.trim() === "terminate")),
    request: () => ({
      method: "POST",
      path: `/v1/runs/${seg(run.run_id)}/terminate`,
      body: reason.value ? { reason: reason.value } : {},
      python: `await ${handle(run)}.terminate(${reason.value ? py(reason.value) : ""})`,
    }),
    done: (answer) => {
      notice("The run was terminated");
      again?.(answer);
    },
  });
}

/** Send one of the signals that the run's definition declares. */
export async function signal(run, chosen = null) {
  let document;
  try {
    document = await get(`/v1/workflows/${seg(run.workflow_id)}/versions/${seg(run.workflow_version)}`);
  } catch (error) {
    return complain(error);
  }
  const nodes = document.nodes.filter(({ kind }) => kind === "signal" || kind === "human_input");
  if (!nodes.length) return notice("This workflow takes no signals.", "bad");
  let fields = null;
  const place = h("div");
  const pick = h(
    "select",
    { id: "signal", onchange: () => show() },
    nodes.map(({ name }) => h("option", { value: name, selected: name === chosen }, name)),
  );
  const show = () => {
    fields = formOrJson(nodes.find(({ name }) => name === pick.value).schema ?? {});
    put(place, fields.box);
  };
  show();
  ask("Send a signal", {
    says: ["It goes to the node that waits for it; one that comes before its node waits is kept, and delivered then."],
    inner: h("div.fields", h("div.field", h("label", { for: "signal" }, "Signal"), pick), place),
    label: "Send",
    request: () => {
      const payload = fields.read();
      return {
        method: "POST",
        path: `/v1/runs/${seg(run.run_id)}/signals/${seg(pick.value)}`,
        body: { payload },
        python: `await ${handle(run)}.signal(${py(pick.value)}, ${py(payload)})`,
      };
    },
    done: () => notice("The signal was delivered"),
    wrong: (error) =>
      error.code === "payload_invalid" ? fields.complain(error.details, error.message) : complain(error),
    wide: true,
  });
}

/** Run a run again, from a node on; what that would do is asked of the server first. */
export async function rerun(run, fromNode = null) {
  let workflow, whole;
  try {
    [workflow, whole] = await Promise.all([
      get(`/v1/workflows/${seg(run.workflow_id)}`),
      run.nodes ? run : get(`/v1/runs/${seg(run.run_id)}`),
    ]);
  } catch (error) {
    return complain(error);
  }
  const node = h(
    "select",
    { id: "from" },
    h("option", { value: "" }, "the beginning"),
    whole.nodes.map((each) => h("option", { value: each.node, selected: each.node === fromNode }, each.node)),
  );
  const version = h(
    "select",
    { id: "version" },
    workflow.versions.map((each) =>
      h(
        "option",
        { value: each.version, selected: each.version === run.workflow_version },
        each.version + (each.active ? " (active)" : ""),
      ),
    ),
  );
  const input = h("textarea.mono", {
    id: "input",
    rows: 6,
    spellcheck: "false",
    value: print(whole.input, 2),
  });
  const plan = h("div.plan", { "aria-live": "polite" }),
    fault = h("p.fault", { role: "alert" });
  const edited = () => {
    try {
      fault.textContent = "";
      const wanted = readJson(input.value, "The input is not JSON");
      const lost = unsayable(whole.input, wanted);
      if (lost === null) return difference(whole.input, wanted);
      throw new FormFault(`A rerun takes a field away, but cannot make one null: ${lost || "the input"}.`);
    } catch (error) {
      fault.textContent = error.message;
      throw error;
    }
  };
  const request = (dry = false) => {
    const patch = edited();
    const body = {
      version: version.value,
      ...(node.value && { from_node: node.value }),
      ...(patch !== undefined && { input: patch }),
      ...(dry && { dry_run: true }),
    };
    const given = [
      node.value && `from_node=${py(node.value)}`,
      patch !== undefined && `input=${py(patch)}`,
      version.value !== run.workflow_version && `version=${py(version.value)}`,
    ].filter(Boolean);
    return {
      method: "POST",
      path: `/v1/runs/${seg(run.run_id)}/rerun`,
      body,
      python: `await ${handle(run)}.rerun(${given.join(", ")})`,
    };
  };
  let turn = 0;
  const look = async () => {
    const mine = ++turn;
    try {
      const { method, path, body } = request(true);
      const found = await call(method, path, { body });
      if (mine === turn)
        put(
          plan,
          [
            ["Kept", found.reused],
            ["Run anew", found.rerun],
            ["New in this version", found.new],
            ["Gone from this version", found.gone],
          ]
            .filter(([, names]) => names.length)
            .map(([label, names]) => h("p", h("b", `${label}: `), names.join(", "))),
        );
    } catch (error) {
      if (mine === turn) put(plan, h("p.fault", error.message));
    }
  };
  for (const each of [node, version, input]) each.addEventListener("change", look);
  look();
  ask("Run it again", {
    says: [
      "A new run starts. It keeps the results of what finished before the chosen node, and runs that node and all " +
        "that depends on it anew.",
    ],
    inner: h(
      "div.fields",
      h("div.field", h("label", { for: "from" }, "From"), node),
      h("div.field", h("label", { for: "version" }, "Version"), version),
      h("div.field", h("label", { for: "input" }, "Input"), input, fault),
      plan,
    ),
    label: "Start the rerun",
    request,
    done: (started) => {
      notice("A new run has started");
      go(`runs/${started.run_id}`);
    },
    wide: true,
    wrong: (error) => {
      fault.textContent = [error.message, ...(error.details ?? []).map((each) => `${each.path}: ${each.message}`)].join(
        "\n",
      );
    },
  });
}
