"""The list of runs: live, filtered by its address, used by keyboard."""

from __future__ import annotations

import re

from playwright.sync_api import expect


def rows(page):
    return page.locator(".run-rows .run-row")


def test_a_new_run_appears_by_itself_and_changes_as_it_goes(console, server):
    page = console("runs?workflow_id=slow")
    expect(page.get_by_text("No run matches")).to_be_visible()
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    run_id = server.start_run("slow")
    expect(rows(page)).to_have_count(1)
    expect(rows(page).first).to_contain_text("running")
    server.go.touch()
    expect(rows(page).first).to_contain_text("succeeded")
    server.go.unlink()
    expect(page.locator(".state.is-succeeded")).to_contain_text("1")
    rows(page).first.get_by_role("link").click()
    expect(page).to_have_url(re.compile(run_id))


def test_filters_are_part_of_the_address_and_can_be_shared(console, server):
    for number in range(3):
        server.start_run("faulty", tags={"batch": str(number)})
    server.start_run("turns")
    page = console("runs")
    page.get_by_label("Search runs").fill("faulty")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(3)
    page.locator(".state.is-failed").click()
    expect(page).to_have_url(re.compile(r"status=failed&workflow_id=faulty"))
    shared = page.context.new_page()
    shared.goto(page.url)
    expect(rows(shared)).to_have_count(3)
    shared.get_by_label("Search runs").fill("batch:1")
    shared.keyboard.press("Enter")
    expect(rows(shared)).to_have_count(1)
    shared.locator(".state.is-failed").click()
    shared.locator(".state.is-succeeded").click()
    expect(shared.get_by_text("No run matches")).to_be_visible()
    shared.get_by_role("button", name="Clear the filters").click()
    expect(rows(shared).nth(3)).to_be_visible()


def test_the_list_is_used_by_keyboard(console, server):
    first, second = server.start_run("turns"), server.start_run("turns")
    page = console("runs?workflow_id=turns")
    expect(rows(page).nth(1)).to_be_visible()
    page.keyboard.press("j")
    expect(page.locator(".run-row.selected")).to_have_attribute("data-key", second)
    page.keyboard.press("j")
    expect(page.locator(".run-row.selected")).to_have_attribute("data-key", first)
    page.keyboard.press("k")
    page.keyboard.press("/")
    expect(page.get_by_label("Search runs")).to_be_focused()
    page.keyboard.press("Escape")
    page.get_by_label("Search runs").blur()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(second))


def test_a_run_is_started_from_a_form_and_errors_are_shown_at_their_fields(console, server):
    page = console("runs")
    page.get_by_role("button", name="Start a run").first.click()
    page.get_by_label("Workflow").select_option("checkout-flow")
    page.get_by_label("order_id").fill("ord_console")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_text("Choose one.")).to_be_visible()
    page.get_by_label("customer_tier").select_option("enterprise")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page).to_have_url(re.compile(r"/runs/run_"))
    shown = server.state(re.search(r"run_\w+", page.url).group())
    assert (shown["trigger"], shown["input"]["order_id"]) == ("console", "ord_console")


def test_many_runs_are_cancelled_at_once(console, server):
    runs = [server.start_run("slow", tags={"lot": "9"}) for _ in range(3)]
    page = console("runs?tag=lot:9")
    for number in range(3):
        rows(page).nth(number).get_by_role("checkbox").check()
    page.get_by_role("button", name="Cancel 3 runs").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel 3 runs").click()
    expect(page.locator(".run-rows .chip.is-cancelled")).to_have_count(3)
    assert {server.state(run)["state"] for run in runs} == {"cancelled"}


def test_thousands_of_runs_can_be_scrolled_through(console, server):
    runs = [{"workflow_id": "turns", "tags": {"bulk": "1"}} for _ in range(1000)]
    server.api("POST", "/v1/runs/batch", {"runs": runs})
    page = console("runs?tag=bulk:1")
    expect(rows(page).nth(99)).to_be_attached()
    for _ in range(3000):  # until the end stays the end
        page.keyboard.press("End")
        page.evaluate("new Promise(requestAnimationFrame)")
        if rows(page).count() == 1000:
            break
    expect(rows(page)).to_have_count(1000)
    assert (
        len(
            set(
                page.evaluate(
                    "[...document.querySelectorAll('.run-rows .run-row')].map((row) => row.dataset.key)"
                )
            )
        )
        == 1000
    )
