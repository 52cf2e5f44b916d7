"""Every page, for everybody: by screen reader, on a phone, in the dark; workflows, overview; and times."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import CDPSession, Page, expect

DOCUMENT = {"workflow_id": "doc", "version": "v1", "nodes": [{"kind": "timer", "name": "nap", "delay": 0.01}]}
#: A headless tab is never hidden; this is what the browser tells a page whose tab is.
HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""
PAGES = ["runs", "approvals", "workflows", "workflows/checkout-flow", "triggers", "overview"]


@pytest.fixture(scope="module")
def lived(server):
    """A server with runs of every kind: one that waits, one that failed, one that went through."""
    waiting = server.start_run(
        "checkout-flow", {"order_id": "ord_a", "customer_tier": "enterprise"}, tags={"team": "shop"}
    )
    return {"waiting": waiting, "failed": server.start_run("faulty"), "through": server.start_run("turns")}


def paths(lived):
    return [*PAGES, *(f"runs/{run_id}" for run_id in lived.values()), f"runs/{lived['through']}?node=draft"]


#: What each page shows last, by the beginning of its path.
LAST = {
    "runs/": ".timeline .timeline-row .duration",
    "runs": ".run-rows .run-row",
    "approvals": ".inbox button",
    "workflows/": ".graph .node",
    "workflows": ".list td.num:not(:has-text('…'))",
    "triggers": ".triggers td button",
    "overview": ".chart rect",
}


def drawn(page, path):
    """Wait until a page is whole."""
    last = next(selector for start, selector in LAST.items() if path.startswith(start))
    expect(page.locator(last).first).to_be_attached()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_labels_and_roles_are_right_on_every_page(console, server, lived, scheme):
    found = {}
    for path in paths(lived):
        page = console(path)
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        expect(page.get_by_role("heading").first).to_be_visible()
        drawn(page, path)
        results = Axe().run(page)
        faults = [
            f"{fault['id']}: {fault['nodes'][0]['html'][:160]}" for fault in results.response["violations"]
        ]
        if faults:
            found[path] = faults
    assert found == {}


def test_dialogs_are_labelled_too(console, lived):
    page = console(f"runs/{lived['waiting']}")
    for name in ("Cancel", "Terminate", "Signal"):
        page.get_by_role("button", name=name, exact=True).click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        assert [fault["id"] for fault in Axe().run(page).response["violations"]] == []
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)


def test_every_page_fits_a_phone(console, lived):
    for path in paths(lived):
        page = console(path)
        page.set_viewport_size({"width": 390, "height": 800})
        expect(page.get_by_role("heading").first).to_be_visible()
        drawn(page, path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_a_version_is_viewed_compared_activated_and_rolled_back(console, server):
    server.api("POST", "/v1/workflows", DOCUMENT)
    changed = {**DOCUMENT, "version": "v2", "nodes": [{"kind": "timer", "name": "nap", "delay": 0.02}]}
    server.api("POST", "/v1/workflows", changed)
    page = console("workflows")
    page.get_by_role("link", name="doc", exact=True).click()
    page.get_by_role("button", name="v2").click()
    expect(page.locator(".graph .node")).to_have_count(1)
    page.get_by_role("tab", name="Compare").click()
    beside = page.locator(".sides tr").filter(has=page.locator(".differs")).filter(has_text="delay")
    expect(beside.locator("td")).to_have_text(['  "delay": 0.01', '  "delay": 0.02'])
    page.get_by_role("button", name="Activate").click()
    page.get_by_role("dialog").get_by_role("button", name="Activate").click()
    expect(page.get_by_text("active: v2")).to_be_visible()
    page.get_by_role("button", name="v1").click()
    page.get_by_role("button", name="Roll back to this").click()
    page.get_by_role("dialog").get_by_role("button", name="Activate").click()
    expect(page.get_by_text("active: v1")).to_be_visible()
    assert server.api("GET", "/v1/workflows/doc")["active_version"] == "v1"


def test_versions_are_compared_node_by_node_and_line_by_line(console, server):
    timers = [
        {"kind": "timer", "name": name, "delay": delay} for name, delay in (("a", 1), ("b", 2), ("d", 4))
    ]
    server.api("POST", "/v1/workflows", {"workflow_id": "two", "version": "v1", "nodes": timers})
    timers[1] = {"kind": "timer", "name": "b", "delay": 2, "after": ["a"]}
    timers[2] = {"kind": "timer", "name": "c", "delay": 3}
    server.api("POST", "/v1/workflows", {"workflow_id": "two", "version": "v2", "nodes": timers})
    page = console("workflows/two?version=v2&tab=diff")
    table = page.get_by_role("table")
    expect(table.get_by_role("columnheader")).to_have_text(["v1", "v2"])
    named = table.locator("tr").filter(has_text=re.compile('"name"'))
    shown = [row.locator("td").all_inner_texts() for row in named.all()]
    pairs = [[re.sub(r"\W|name", "", text) for text in row] for row in shown]
    assert ["b", "b"] in pairs
    assert ["", "c"] in pairs
    assert ["d", ""] in pairs
    rows = table.locator("tr").count()
    table.get_by_role("button", name="equal line").first.click()
    expect(table.locator("tr").nth(rows)).to_be_attached()


def test_the_overview_shows_how_runs_went(console, server, lived):
    expect_failed = server.api("GET", "/v1/runs/counts?workflow_id=faulty")["counts"]["failed"]
    page = console("overview?workflow_id=faulty")
    expect(page.locator(".figure").first).to_contain_text(f"{expect_failed} failed")
    expect(page.get_by_role("row").filter(has_text="fragile").filter(has_text="ended a run")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="fragile").filter(has_text="retried")).to_be_visible()
    page.get_by_label("Workflow").select_option("")
    expect(page).not_to_have_url(re.compile("workflow_id"))


def test_a_tab_has_at_most_one_stream_and_none_while_hidden(console, server, lived):
    page = console("runs")
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    page.goto(f"{server.url}/console/runs/{lived['waiting']}")
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    page.get_by_role("link", name="Approvals").click()
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    assert streams(server, 1)
    page.evaluate(HIDE, True)
    assert streams(server, 0)
    page.evaluate(HIDE, False)
    assert streams(server, 1)


def streams(server, wanted):
    """Wait until the server tells of so many open streams."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        text = httpx.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {server.token}"}).text
        found = re.search(r"^infraweave_event_streams (\S+)", text, re.MULTILINE)
        if float(found.group(1)) == wanted:
            return True
    return False


def test_pages_are_drawn_quickly(console, server, lived, capsys):
    """The runs within 300 ms of the processor's time, 500 nodes within a second; the figures are printed.

    What the page's thread has used is held to three times as much: processors differ. The clock on the wall
    would count what other programs use beside it.
    """
    run_id = server.start_run("wide")
    page = console(f"runs/{run_id}")
    expect(page.locator(".title .chip")).to_have_text("succeeded")
    listed, drawn = [], []
    for _ in range(3):
        page = console("runs")
        rows = page.locator(".run-rows .run-row")
        with _processor_time(page, listed):
            page.reload()
            expect(rows.first).to_be_visible()
        with _processor_time(page, drawn):
            page.goto(f"{server.url}/console/runs/{run_id}", wait_until="commit")
            expect(page.locator(".graph .node.is-succeeded")).to_have_count(500, timeout=20_000)
    with capsys.disabled():
        print(f"\nprocessor time: runs {min(listed):.0f} ms, 500 nodes {min(drawn):.0f} ms")
    assert 0 < min(listed) < 3 * 300
    assert 0 < min(drawn) < 3 * 1000


@contextmanager
def _processor_time(page: Page, used: list[float]) -> Iterator[None]:
    """Add the milliseconds of processor time that the page's main thread uses in the block."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = _task_time(session)
    yield
    used.append(_task_time(session) - before)


def _task_time(session: CDPSession) -> float:
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return metrics["TaskDuration"] * 1000
