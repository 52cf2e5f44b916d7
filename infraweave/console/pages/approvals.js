// The inbox: what people are being asked, across runs, the longest waiting first.

import { get, seg, stream } from "../lib/api.js";
import { answerForm } from "../run/answer_form.js";
import { countApprovals } from "../lib/approval_badge.js";
import { link, setQuery } from "../lib/router.js";
import { atMostEvery, busy, follow, h, put } from "../lib/dom.js";
import { plural, shortId } from "../lib/format.js";
import { jsonView } from "../lib/json_view.js";
import { lacks, may } from "../lib/session.js";
import { complain, empty, time } from "../lib/widgets.js";

const PAGE = 100;

export async function open(main, parameters) {
  let asked = [],
    total = 0,
    chosen = parameters.get("request"),
    gone = false,
    shown = null;
  const list = h("div.inbox", { "aria-label": "Open requests", role: "list" }),
    pane = h("section.letter", { "aria-label": "Request", "aria-live": "polite" }),
    told = h("span.faint"),
    live = h("span.live", { role: "status" });
  const box = h("div.approvals", list, pane),
    none = h("div");
  put(main, h("header.page", h("h1", "Approvals"), told, live), none, box);

  async function load() {
    const page = await get("/v1/input-requests", { limit: PAGE });
    ({ input_requests: asked, total } = page);
    if (!gone) draw();
  }
  function draw() {
    told.textContent =
      total > asked.length ? `${asked.length} of ${total}, the longest waiting first` : plural(total, "open request");
    put(
      none,
      !asked.length && empty("Nobody is waiting for you", "Requests of running workflows come here by themselves."),
    );
    box.hidden = !asked.length;
    if (!asked.some((each) => each.request_id === chosen))
      chosen = matchMedia("(max-width: 800px)").matches ? null : (asked[0]?.request_id ?? null);
    follow(
      list,
      asked,
      (each) => each.request_id,
      card,
      (element, each) => element.firstChild.setAttribute("aria-current", String(each.request_id === chosen)),
    );
    const found = asked.find((each) => each.request_id === chosen);
    if (shown === chosen || (busy(pane) && found)) return;
    shown = chosen;
    put(pane, found && letter(found));
  }
  const card = (each) =>
    h(
      "div",
      { role: "listitem" },
      h(
        "button",
        {
          type: "button",
          onclick: () => {
            chosen = each.request_id;
            setQuery({ request: chosen });
            shown = null;
            draw();
            pane.scrollIntoView({ block: "nearest" });
          },
        },
        h("b.prompt", each.prompt),
        h("span.faint", `${each.workflow_id} · ${each.node}`),
        h("span.faint", "asked ", time(each.since), each.deadline && [" · due ", time(each.deadline)]),
      ),
    );
  function letter(each) {
    const hindrance = may("signal", each.workflow_id) ? null : lacks("signal", each.workflow_id);
    const answered = () => {
      shown = null;
      chosen = null;
      reload();
      countApprovals();
    };
    return [
      h("h2.prompt", each.prompt),
      h(
        "p.faint",
        link(`runs/${each.run_id}?node=${seg(each.node)}`, each.workflow_id, " ", shortId(each.run_id)),
        ` · ${each.node} · asked `,
        time(each.since),
        each.deadline && [" · due ", time(each.deadline)],
      ),
      each.data !== undefined && each.data !== null && jsonView(each.data, "data"),
      answerForm(each, each.run_id, answered, hindrance),
    ];
  }
  const reload = atMostEvery(500, () => {
    if (!gone) load().catch(complain);
  });
  await load();
  if (!main.isConnected) return null;
  stream("/v1/runs/changes", {
    open: () => {
      live.textContent = "live";
      live.className = "live";
      reload();
    },
    event: () => {
      reload();
      countApprovals();
    },
    lost: () => {
      live.textContent = "reconnecting…";
      live.className = "live lost";
    },
  });
  return () => {
    gone = true;
  };
}
