"""Acting on runs: answers, cancels, terminations, signals, reruns; and what may not be done."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from infraweave.store.load_quarantine import MAX_CRASHES, LoadQuarantine


def state(page):
    return page.locator(".title .chip")


def claim(page):
    return page.locator("form.answer").first


def test_an_invalid_answer_is_shown_at_its_field_and_a_valid_one_is_delivered(console, server):
    run_id = server.start_run("claims")
    page = console("approvals")
    page.get_by_role("button", name="What is claimed?").first.click()
    form = page.get_by_role("region", name="Request")
    form.get_by_role("link").click()
    expect(page.get_by_role("heading", name="claims", level=1)).to_be_visible()
    assert run_id in page.url
    page.go_back()
    form.get_by_label("name").fill("Ada")
    form.get_by_label("amount").fill("12.5")
    form.get_by_label("count").fill("2")
    form.get_by_label("kind").select_option("meal")
    form.get_by_label("street").fill("Main St")
    form.get_by_role("button", name="Answer").click()
    expect(form.locator(".field.wrong")).to_contain_text("urgent")
    form.get_by_label("urgent").select_option(label="Yes")
    form.get_by_role("button", name="Add to lines").click()
    form.get_by_label("lines item").fill("soup")
    form.get_by_role("button", name="Answer").click()
    expect(page.get_by_text("The answer was delivered")).to_be_visible()
    expect(page.get_by_text("Nobody is waiting for you")).to_be_visible()
    assert server.api("GET", f"/v1/runs/{run_id}/result")["result"] == {
        "paid": 12.5,
        "lines": ["soup"],
        "street": "Main St",
    }


def test_the_servers_validation_errors_are_shown_at_their_fields(console, server):
    run_id = server.start_run("claims")
    page = console(f"runs/{run_id}")
    form = claim(page)
    form.get_by_label("name").fill("Ada")
    form.get_by_label("amount").fill("1")
    form.get_by_label("count").fill("1.5")
    form.get_by_label("kind").select_option("meal")
    form.get_by_label("urgent").select_option(label="No")
    form.get_by_label("street").fill("Main St")
    form.get_by_label("due").evaluate("(input) => { input.type = 'text'; }")
    form.get_by_label("due").fill("some day")
    form.get_by_label("count").fill("1")
    form.get_by_role("button", name="Answer").click()
    expect(form.locator(".field.wrong")).to_contain_text("due")
    expect(state(page)).to_have_text("running")
    form.get_by_label("due").fill("2026-12-24")
    form.get_by_role("button", name="Answer").click()
    expect(state(page)).to_have_text("succeeded")


@pytest.mark.parametrize(("button", "end"), [("Approve", "succeeded"), ("Refuse", "failed")])
def test_an_approval_is_one_click(console, server, button, end):
    order = {"order_id": f"ord_{button}", "customer_tier": "enterprise"}
    page = console(f"runs/{server.start_run('checkout-flow', order)}")
    page.get_by_label("note").first.fill("seen")
    page.get_by_role("button", name=button, exact=True).first.click()
    expect(state(page)).to_have_text(end)


def test_cancel_says_what_will_happen_and_does_it(console, server):
    page = console(f"runs/{server.start_run('slow')}")
    expect(page.locator(".node.is-running")).to_have_count(1)
    page.get_by_role("button", name="Cancel", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Completed so far: begin.")
    dialog.get_by_label("Reason").fill("ordered twice")
    dialog.get_by_role("button", name="curl").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "/cancel" in copied
    assert "ordered twice" in copied
    assert server.token not in copied
    dialog.get_by_role("button", name="Cancel the run").click()
    expect(state(page)).to_have_text("cancelled")
    expect(page.locator(".node.is-compensated")).to_have_count(1)


def test_terminate_needs_a_typed_confirmation(console, server):
    page = console(f"runs/{server.start_run('slow')}")
    page.get_by_role("button", name="Terminate").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("no compensation will run", ignore_case=True)
    confirm = dialog.get_by_role("button", name="Terminate by force")
    expect(confirm).to_be_disabled()
    dialog.get_by_label("to confirm").fill("terminate")
    confirm.click()
    expect(state(page)).to_have_text("cancelled")
    expect(page.locator(".node.is-compensated")).to_have_count(0)


def test_a_signal_is_sent_from_the_run(console, server):
    page = console(
        f"runs/{server.start_run('checkout-flow', {'order_id': 'ord_s', 'customer_tier': 'enterprise'})}"
    )
    page.get_by_role("button", name="Signal", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="As JSON").click()
    dialog.get_by_label("As JSON").fill('{"approved": "perhaps"}')
    dialog.get_by_role("button", name="Send").click()
    expect(dialog.get_by_role("alert").filter(has_text="approved")).to_be_visible()
    dialog.get_by_label("As JSON").fill('{"approved": true}')
    dialog.get_by_role("button", name="Send").click()
    expect(state(page)).to_have_text("succeeded")


def test_a_rerun_from_a_node_shows_first_what_it_keeps(console, server):
    run_id = server.start_run("turns")
    page = console(f"runs/{run_id}?node=publish")
    expect(state(page)).to_have_text("succeeded")
    page.get_by_role("button", name="Rerun from here").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".plan")).to_contain_text("Run again: publish")
    expect(dialog.locator(".plan")).to_contain_text("Kept: draft")
    dialog.get_by_role("button", name="Start the rerun").click()
    expect(page).not_to_have_url(re.compile(run_id))
    expect(page.get_by_text("Rerun of")).to_be_visible()
    expect(state(page)).to_have_text("succeeded")


def test_a_reader_sees_why_other_actions_are_disabled(bare, server, sign_in):
    grants = ["read:workflow:*"]
    sign_in(
        server.api("POST", "/v1/tokens", {"tenant": "default", "principal": "reader", "grants": grants})[
            "token"
        ]
    )
    run_id = server.start_run("claims")
    bare.goto(f"{server.url}/console/runs/{run_id}")
    cancel = bare.get_by_role("button", name="Cancel", exact=True)
    expect(cancel).to_have_attribute("title", "Principal lacks cancel on workflow:claims.")
    cancel.click(force=True)
    expect(bare.get_by_text("Principal lacks cancel on workflow:claims.").last).to_be_visible()
    expect(bare.get_by_role("dialog")).to_have_count(0)
    expect(claim(bare).get_by_role("button", name="Answer")).to_be_disabled()
    server.api("POST", f"/v1/runs/{run_id}/cancel", {})


def test_the_copied_program_does_what_the_button_does(console, server, tmp_path):
    import os
    import subprocess
    import sys

    run_id = server.start_run("slow")
    page = console(f"runs/{run_id}")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Python").click()
    program = page.evaluate("navigator.clipboard.readText()")
    env = {**os.environ, "INFRAWEAVE_TOKEN": server.token}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    page.keyboard.press("Escape")
    expect(state(page)).to_have_text("cancelled")


def test_a_schedule_is_paused_resumed_and_run_now(console, server):
    page = console("triggers")
    row = page.get_by_role("row").filter(has_text="yearly")
    expect(row.locator("code")).to_have_text("0 0 1 1 *")
    expect(row.locator("time").first).to_have_attribute("datetime", re.compile(r"-12-31T23:00:00.000Z$"))
    for action, then in (("Pause", "paused"), ("Resume", "on")):
        row.get_by_role("button", name=action).click()
        page.get_by_role("dialog").get_by_role("button", name=f"{action} it").click()
        expect(row.locator(".chip")).to_have_text(then)
    row.get_by_role("button", name="Run now").click()
    page.get_by_role("dialog").get_by_role("button", name="Start a run").click()
    expect(page.get_by_role("heading", name="turns", level=1)).to_be_visible()
    assert server.state(page.url.rpartition("/")[2])["trigger"] == "schedule"


def test_a_reader_sees_triggers_and_cannot_start_runs(bare, server, sign_in):
    asked = {"tenant": "default", "principal": "watcher", "grants": ["read:workflow:turns"]}
    sign_in(server.api("POST", "/v1/tokens", asked)["token"])
    bare.goto(f"{server.url}/console/triggers")
    expect(bare.get_by_role("row").filter(has_text="/hooks/pushed")).to_be_visible()
    expect(bare.get_by_text("nightly-backup")).to_have_count(0)
    bare.get_by_role("button", name="Run now").click(force=True)
    expect(bare.get_by_text("lacks execute on workflow:turns").first).to_be_visible()
    expect(bare.get_by_role("dialog")).to_have_count(0)


def test_typed_text_stays_while_the_run_goes_on_and_the_data_of_a_request_is_shown(console, server):
    run_id = server.start_run("duo")
    page = console(f"runs/{run_id}")
    inspector = page.get_by_role("complementary", name="Inspector")
    expect(inspector.locator(".input-request .json")).to_contain_text("9007199254740993")
    page.get_by_role("button", name="Show the run").click()
    forms = page.locator(".input-request")
    expect(forms.locator(".json")).to_contain_text("9007199254740993")
    forms.get_by_label("note").fill("half a thought")
    page.get_by_role("heading", name="Input").click()
    server.go.touch()
    expect(forms).to_have_count(2)
    server.go.unlink()
    expect(forms.first.get_by_label("note")).to_have_value("half a thought")
    server.api("POST", f"/v1/runs/{run_id}/cancel", {})


@pytest.fixture
def set_aside(server):
    """A run that is set aside as if three processes in a row had died while they loaded it."""
    run_id = server.start_run("claims", tags={"case": "aside"})
    server.kill()
    for _ in range(MAX_CRASHES):
        LoadQuarantine(server.db).begin_load(run_id)
    server.begin()
    yield run_id
    server.api("POST", f"/v1/runs/{run_id}/cancel", {})


def test_a_run_that_was_set_aside_says_so_and_can_be_resumed(set_aside, console, server):
    page = console("runs?tag=case:aside")
    expect(page.locator(".run-rows .run-row")).to_contain_text("set aside")
    page.locator(".run-rows .run-row").get_by_role("link").click()
    expect(page.locator(".title")).to_contain_text("set aside")
    expect(page.get_by_text("3 processes in a row have died")).to_be_visible()
    expect(page.get_by_role("button", name="Signal", exact=True)).to_have_attribute(
        "title", re.compile("Resume")
    )
    page.get_by_role("button", name="Resume", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("If the server dies once more")
    dialog.get_by_role("button", name="curl").click()
    assert f"/v1/runs/{set_aside}/resume" in page.evaluate("navigator.clipboard.readText()")
    dialog.get_by_role("button", name="Resume the run").click()
    expect(page.get_by_role("button", name="Resume", exact=True)).to_have_count(0)
    expect(page.locator(".title")).not_to_contain_text("set aside")
    assert not server.state(set_aside).get("set_aside")
    page.goto(f"{server.url}/console/runs?tag=case:aside")
    expect(page.locator(".run-rows .run-row")).to_contain_text("running")
    expect(page.locator(".run-rows .run-row")).not_to_contain_text("set aside")
