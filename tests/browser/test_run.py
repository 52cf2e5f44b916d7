"""One run: its live graph, inspector and timeline."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

STATES = """() => [...document.querySelectorAll(".graph .node")].map((node) => [
    node.getAttribute("aria-label").split(",")[0],
    [...node.classList].find((name) => name.startsWith("is-")).slice(3),
])"""
EXAMPLES = [
    ("coder-agent", {"task": "double", "name": "double", "examples": [{"args": [2], "result": 4}]}),
    ("research", {"question": "who wakes a run?", "folder": "."}),
    ("digest-folder", {"folder": "infraweave/console", "pattern": "*.js"}),
    ("checkout-flow", {"order_id": "o1", "customer_tier": "standard", "card": "card_flaky"}),
    ("checkout-flow", {"order_id": "o2", "customer_tier": "standard", "card": "card_declined"}),
    ("turns", {}),
]


def node(page, name):
    return page.locator(".graph .node").filter(has=page.locator(f"text=/^{name}$/")).first


def states(page):
    """The state of each node, as it is drawn."""
    return dict(page.evaluate(STATES))


@pytest.mark.parametrize(("workflow_id", "input"), EXAMPLES)
def test_a_run_is_followed_to_its_end_and_drawn_as_the_server_knows_it(console, server, workflow_id, input):
    run_id = server.start_run(workflow_id, input)
    page = console(f"runs/{run_id}")
    expect(page.locator(".title .chip")).to_have_text(re.compile("succeeded|failed"))
    shown = server.state(run_id)
    expect(page.locator(".title .chip")).to_have_text(shown["state"])
    assert states(page) == {each["node"]: each["state"] for each in shown["nodes"]}


def test_the_graph_updates_from_the_stream_alone(console, server):
    run_id = server.start_run("slow")
    page = console(f"runs/{run_id}")
    expect(node(page, "middle")).to_have_class(re.compile("is-running"))
    expect(page.locator(".title .chip")).to_have_text("running")
    server.go.touch()
    expect(node(page, "finish")).to_have_class(re.compile("is-succeeded"))
    server.go.unlink()
    expect(page.locator(".title .chip")).to_have_text("succeeded")
    expect(page.locator(".timeline .rows .timeline-row")).to_have_count(3)
    expect(page.get_by_text('"begun"')).to_be_visible()


def test_a_page_survives_a_server_restart_without_a_reload(console, server):
    run_id = server.start_run("slow")
    page = console(f"runs/{run_id}")
    expect(node(page, "middle")).to_have_class(re.compile("is-running"))
    page.evaluate("window.stays = true")
    server.port = server.url.rpartition(":")[2]
    server.kill()
    expect(page.get_by_text("reconnecting…")).to_be_visible()
    server.begin()
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    server.go.touch()
    expect(page.locator(".title .chip")).to_have_text("succeeded")
    server.go.unlink()
    assert page.evaluate("window.stays")
    assert states(page) == {each["node"]: each["state"] for each in server.state(run_id)["nodes"]}


def test_a_failed_run_opens_on_the_failed_node_with_its_error(console, server):
    run_id = server.start_run("faulty")
    page = console(f"runs/{run_id}")
    inspector = page.get_by_role("complementary", name="Inspector")
    expect(inspector.get_by_role("heading", name="fragile")).to_be_visible()
    expect(inspector.get_by_role("tab", name="Error")).to_have_attribute("aria-selected", "true")
    expect(inspector.locator("pre.message")).to_have_text("RuntimeError: it broke <b>again</b>")
    where = inspector.locator("pre.traceback")
    expect(where).to_contain_text("in fragile")
    expect(where).to_contain_text('raise RuntimeError("it broke <b>again</b>")')
    expect(where.locator("b")).to_have_count(0)
    expect(inspector.get_by_text("3 of 3")).to_be_visible()
    expect(page.locator(".timeline .timeline-row .bar.is-failed")).to_have_count(3)


def test_a_retry_counts_down(console, server):
    run_id = server.start_run("patient")
    page = console(f"runs/{run_id}")
    expect(node(page, "later")).to_contain_text(re.compile(r"retry in \d+m \d+s \(2\)"))
    expect(page.locator(".title .chip")).to_have_text("retrying")
    expect(page.locator(".explain")).to_contain_text("the next begins in")


def test_the_inspector_shows_input_output_events_and_a_link_leads_back_to_it(console, server):
    run_id = server.start_run("turns")
    page = console(f"runs/{run_id}")
    node(page, "draft").click()
    inspector = page.get_by_role("complementary", name="Inspector")
    expect(inspector.get_by_role("heading", name="draft")).to_be_visible()
    expect(inspector.locator("table.executions tbody tr")).to_have_count(3)
    inspector.get_by_role("tab", name="Output").click()
    expect(inspector.locator(".json")).to_have_text("3")
    inspector.get_by_label("Execution").select_option(label="iteration 2 · attempt 1 · succeeded")
    expect(inspector.locator(".json")).to_have_text("2")
    inspector.get_by_role("tab", name="Events").click()
    expect(inspector.locator("details.event")).to_have_count(6)
    expect(page).to_have_url(re.compile("node=draft&tab=events"))
    page.reload()
    expect(inspector.get_by_role("heading", name="draft")).to_be_visible()
    expect(inspector.locator("details.event")).to_have_count(6)
    expect(page.locator(".edge.kind-loop.taken")).to_have_count(1)
    expect(page.locator(".graph .count")).to_have_text("×3")


def test_skipped_branches_are_faded_and_taken_ones_are_solid(console, server):
    run_id = server.start_run("turns")
    page = console(f"runs/{run_id}")
    expect(page.locator(".title .chip")).to_have_text("succeeded")
    expect(node(page, "shelve")).to_have_class(re.compile("is-skipped"))
    expect(page.locator(".edge.kind-route.off")).to_have_count(1)
    expect(page.locator(".edge.kind-route.taken")).to_have_count(1)


def test_the_graph_is_used_by_keyboard(console, server):
    page = console(f"runs/{server.start_run('slow')}?node=begin")
    node(page, "begin").focus()
    page.keyboard.press("ArrowRight")
    expect(node(page, "middle")).to_be_focused()
    page.keyboard.press("Enter")
    expect(
        page.get_by_role("complementary", name="Inspector").get_by_role("heading", name="middle")
    ).to_be_visible()
    server.go.touch()
    expect(page.locator(".title .chip")).to_have_text("succeeded")
    server.go.unlink()


def test_a_parent_and_its_child_link_to_each_other(console, server):
    run_id = server.start_run(
        "order", {"order_id": "o7", "lines": [{"sku": "pen", "count": 3, "cents": 120}]}
    )
    page = console(f"runs/{run_id}")
    expect(page.locator(".title .chip")).to_have_text("succeeded")
    page.locator(".children a").first.click()
    expect(page.get_by_role("heading", name="invoice", level=1)).to_be_visible()
    page.get_by_role("link", name=re.compile(run_id[-6:])).click()
    expect(page.get_by_role("heading", name="order", level=1)).to_be_visible()


def test_markup_in_data_stays_text(console, server):
    run_id = server.start_run("markup")
    page = console(f"runs/{run_id}")
    expect(page.locator(".input-request h3").first).to_contain_text("<script>")
    server.api("POST", f"/v1/runs/{run_id}/signals/ask", {"payload": {}})
    expect(page.locator(".title .chip")).to_have_text("failed")
    expect(page.locator("pre.message")).to_contain_text("<script>")
    node(page, "speak").click()
    for tab in ("Output", "Events", "Trace"):
        page.get_by_role("tab", name=tab).click()
    page.goto(f"{server.url}/console/runs?workflow_id=markup")
    expect(page.locator(".run-error")).to_contain_text("<script>")
    page.goto(f"{server.url}/console/overview")
    expect(page.get_by_role("heading", name="Errors")).to_be_visible()
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img").count() == 0


def test_a_page_that_loads_too_late_does_not_replace_the_next(console, server):
    run_id = server.start_run("turns")
    page = console("runs?workflow_id=turns")
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    held = []
    page.route(f"**/v1/runs/{run_id}", lambda route: held.append(route))
    page.locator(f"[data-key={run_id}] a").click()
    expect(page.locator(".place")).to_be_empty()
    page.get_by_role("link", name="Workflows").click()
    expect(page.get_by_role("heading", name="Workflows")).to_be_visible()
    with page.expect_response(f"**/v1/runs/{run_id}"):
        held[0].continue_()
    page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    expect(page.get_by_role("heading", name="Workflows")).to_be_visible()
    assert page.url.endswith("/console/workflows")


def test_a_long_run_is_shown_from_its_summary(console, server):
    run_id = server.start_run("many", {"greeting": "hello"})
    while server.state(run_id)["last_seq"] < 6000:
        pass  # nearly all of its items are done
    page = console(f"runs/{run_id}?node=each")
    expect(node(page, "each")).to_contain_text("2999/3000, 1 failed")
    expect(page.locator(".timeline")).to_contain_text("A long run")
    expect(page.locator(".timeline .bar.is-failed")).to_have_count(1)
    expect(page.get_by_label("Execution").locator("option").first).to_have_text(
        re.compile("item 1234 · .*failed")
    )
    page.get_by_role("tab", name="Input").click()
    for given in ("greeting", "number"):  # what all items share, and what is this one's
        expect(page.get_by_role("complementary", name="Inspector")).to_contain_text(given)
    server.go.touch()
    expect(page.locator(".title .chip")).to_have_text("succeeded")
    server.go.unlink()
    assert states(page) == {each["node"]: each["state"] for each in server.state(run_id)["nodes"]}


def test_the_inspector_of_a_live_map_updates_without_disturbing_its_user(console, server):
    run_id = server.start_run("paced")
    page = console(f"runs/{run_id}?node=visit")
    inspector = page.get_by_role("complementary", name="Inspector")
    rows = inspector.locator("table.executions tbody tr")
    expect(rows).to_have_count(4)  # the map and its items
    execution = inspector.get_by_label("Execution")
    execution.focus()
    (server.folder / "place0").touch()
    expect(inspector.locator("dl")).to_contain_text("1 of 3")
    expect(rows.filter(has_text="item 0")).to_contain_text("succeeded")
    execution.select_option(label="item 1 · attempt 1 · running")
    expect(rows.and_(page.locator("[aria-current=true]"))).to_contain_text("item 1")
    expect(execution).to_be_focused()
    inspector.get_by_role("tab", name="Events").click()
    first = inspector.locator("details.event").first
    first.locator(":scope > summary").click()
    (server.folder / "place1").touch()
    expect(inspector.locator("details.event").filter(has_text="node_completed")).to_have_count(2)
    expect(first).to_have_attribute("open", "")  # what somebody reads stays open
    (server.folder / "place2").touch()
    expect(page.locator(".title .chip")).to_have_text("succeeded")
    expect(inspector.locator("header .chip")).to_have_text("succeeded")
    for number in range(3):
        (server.folder / f"place{number}").unlink()


def test_an_attempt_that_a_crash_interrupted_is_not_a_failure(console, server):
    run_id = server.start_run("slow")
    page = console(f"runs/{run_id}?node=middle")
    expect(node(page, "middle")).to_have_class(re.compile("is-running"))
    server.port = server.url.rpartition(":")[2]
    server.kill()
    expect(page.get_by_text("reconnecting…")).to_be_visible()
    server.begin()
    inspector = page.get_by_role("complementary", name="Inspector")
    expect(inspector.locator("dl")).to_contain_text("1 of 3 (1 before it interrupted)")
    cut = inspector.locator("table.executions tr").filter(has_text="interrupted")
    expect(cut).to_have_count(1)
    expect(cut).not_to_contain_text(re.compile(r"failed|\b0 ms"))
    inspector.get_by_label("Execution").select_option(label="attempt 1 · interrupted")
    expect(inspector.locator("dl")).to_contain_text("1 of 3 (does not count)")
    expect(page.locator(".timeline .bar.is-interrupted")).to_have_count(1)
    expect(page.locator(".timeline .bar.is-failed")).to_have_count(0)
    server.go.touch()
    expect(page.locator(".title .chip")).to_have_text("succeeded")
    server.go.unlink()


def test_a_prompt_keeps_its_lines(console, server):
    run_id = server.start_run("ledger")
    page = console(f"runs/{run_id}")
    lines = re.compile(r"Which entry\?\n\n\s*1\. the first\n\s*2\. the second")
    expect(page.locator(".input-request h3").first).to_have_text(lines, use_inner_text=True)
    expect(page.locator(".explain")).not_to_contain_text("\\n")
    page.get_by_role("link", name="Approvals").click()
    expect(page.locator(".request h2")).to_have_text(lines, use_inner_text=True)
    server.api("POST", f"/v1/runs/{run_id}/cancel", {})


def test_the_run_that_a_run_waits_for_is_a_link(console, server):
    lines = [{"sku": "desk", "count": 2, "cents": 90_000}]
    run_id = server.start_run("order", {"order_id": "o7", "lines": lines})
    page = console(f"runs/{run_id}")
    page.locator(".explain").get_by_role("link").click()
    expect(page.get_by_role("heading", name="invoice", level=1)).to_be_visible()
    expect(page.locator(".explain")).to_contain_text("signature")
    server.api("POST", f"/v1/runs/{run_id}/cancel", {})
