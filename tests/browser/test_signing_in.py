"""Signing in: by token, by the link that serve prints, and out again."""

from __future__ import annotations

import re

from playwright.sync_api import expect


def test_a_token_signs_in_and_an_invalid_one_is_rejected(bare, server):
    bare.goto(f"{server.url}/console")
    bare.get_by_label("Token").fill("iw_live_nonsense")
    bare.get_by_role("button", name="Sign in").click()
    expect(bare.get_by_role("alert")).to_contain_text("does not accept this token")
    bare.get_by_label("Token").fill(server.token)
    bare.get_by_role("button", name="Sign in").click()
    expect(bare.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    assert server.token not in bare.url


def test_the_printed_link_signs_in_once_and_leaves_no_code_behind(context, bare, server):
    link = re.search(r"http\S+/console#code=\S+", server.said()).group()
    bare.goto(link)
    expect(bare.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    assert "code" not in bare.url
    other = context.browser.new_context().new_page()
    other.goto(link)
    expect(other.get_by_text("was used before")).to_be_visible()
    expect(other.get_by_label("Token")).to_be_visible()
    other.context.close()


def test_signing_out_removes_and_revokes_the_token(bare, server):
    made = server.api(
        "POST", "/v1/tokens", {"tenant": "default", "principal": "guest", "grants": ["read:workflow:*"]}
    )
    bare.goto(f"{server.url}/console")
    bare.get_by_label("Token").fill(made["token"])
    bare.get_by_role("button", name="Sign in").click()
    expect(bare.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    bare.get_by_role("button", name="Sign out").click()
    expect(bare.get_by_label("Token")).to_be_visible()
    assert bare.evaluate("sessionStorage.length") == 0
    bare.get_by_label("Token").fill(made["token"])
    bare.get_by_role("button", name="Sign in").click()
    expect(bare.get_by_role("alert")).to_contain_text("does not accept this token")


def test_a_revoked_token_leads_back_to_the_sign_in(bare, server, sign_in):
    made = server.api(
        "POST", "/v1/tokens", {"tenant": "default", "principal": "leaver", "grants": ["read:workflow:*"]}
    )
    sign_in(made["token"])
    bare.goto(f"{server.url}/console/runs")
    expect(bare.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    server.api("DELETE", f"/v1/tokens/{made['token_id']}")
    expect(bare.get_by_label("Token")).to_be_visible()


def test_the_printed_link_signs_in_a_tab_that_already_shows_the_console(bare, server):
    server.port = server.url.rpartition(":")[2]
    server.kill()
    server.begin()  # which prints another link
    guest = {"tenant": "default", "principal": "guest", "grants": ["read:workflow:*"]}
    token = server.api("POST", "/v1/tokens", guest)["token"]
    bare.goto(f"{server.url}/console")
    bare.get_by_label("Token").fill(token)
    bare.get_by_role("button", name="Sign in").click()
    expect(bare.locator(".identity b")).to_have_text("guest")
    bare.evaluate("window.stays = true")
    link = re.findall(r"http\S+/console#code=\S+", server.said())[-1]
    bare.goto(link)
    expect(bare.locator(".identity b")).to_have_text("admin")
    assert bare.evaluate("window.stays")
    assert "code" not in bare.url
    bare.goto(link)
    expect(bare.get_by_text("was used before")).to_be_visible()
    expect(bare.locator(".identity b")).to_have_text("admin")


def test_the_printed_link_signs_in_a_tab_that_asks_for_a_token(bare, server):
    server.port = server.url.rpartition(":")[2]
    server.kill()
    server.begin()
    bare.goto(f"{server.url}/console")
    expect(bare.get_by_label("Token")).to_be_visible()
    bare.goto(re.findall(r"http\S+/console#code=\S+", server.said())[-1])
    expect(bare.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
