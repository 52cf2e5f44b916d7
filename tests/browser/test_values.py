"""Values in the browser: numbers as they were written, and forms that send what they show."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

LARGE, LARGER = 9007199254748102, 9223372036854775807  # beyond 2^53, where JavaScript has even numbers alone
#: Runs a piece of code with a module of the console.
WITH = """async ([name, code, value]) =>
    new Function('m', 'v', code)(await import(`/console/static/${name}`), value)"""
WRITTEN = [
    "9007199254740993",
    "-9223372036854775808",
    "123456789012345678901234567890",
    "[1, 1.0, 1.50, -0, -0.0, 0, 1e400, 1E+2, 1e-7, 0.1]",
    '{"a": "1.0", "b\\"2.0": ["-0", -0, "\\\\"], "": 1.0, "__proto__": {"constructor": 9007199254740993}}',
    '"12345678901234567890"',
    "null",
]


@pytest.fixture
def module(console):
    """Run code with a module of the console as ``m``, and a value as ``v``."""
    page = console("triggers")
    return lambda name, code, value: page.evaluate(WITH, [name, code, value])


@pytest.mark.parametrize("text", WRITTEN)
def test_numbers_keep_every_character(module, text):
    compact = re.sub(r"(?<=[,:]) ", "", text)
    assert module("lib/lossless_json.js", "return m.stringifyJson(m.parseJson(v))", text) == compact
    indented = module("lib/lossless_json.js", "return m.stringifyJson(m.parseJson(v), 2)", text)
    assert module("lib/lossless_json.js", "return m.stringifyJson(m.parseJson(v))", indented) == compact


@pytest.mark.parametrize("text", ["", "01", "1.", "[1.0,]", '{"a" 1}', "1.0 2.0", "-"])
def test_invalid_json_is_rejected(module, text):
    said = module(
        "lib/lossless_json.js", "try { m.parseJson(v); } catch (error) { return error.name; }", text
    )
    assert said == "SyntaxError"


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ('{"a": 1}', '{"a": 1.0}', '{"a":1.0}'),
        ('{"a": [9007199254740993]}', '{"a": [9007199254740992]}', '{"a":[9007199254740992]}'),
        ('{"a": {"b": 1, "c": 2}}', '{"a": {"c": 2}}', '{"a":{"b":null}}'),
        ('{"a": 1}', '{"a": 1, "constructor": 2}', '{"constructor":2}'),
        ('{"a": 1}', '{"a": 1}', None),
        ('{"a": 1}', "[null]", "[null]"),
    ],
)
def test_only_what_was_edited_is_sent(module, before, after, patch):
    code = """return import('/console/static/lib/lossless_json.js').then(({parseJson, stringifyJson}) =>
        stringifyJson(m.mergePatch(parseJson(v[0]), parseJson(v[1]))) ?? null)"""
    assert module("lib/merge_patch.js", code, [before, after]) == patch


DURATIONS = {
    0: "0 ms",
    999: "999 ms",
    1000: "1.0 s",
    59_949: "59.9 s",
    59_950: "1m",
    59_999: "1m",
    60_000: "1m",
    61_000: "1m 1s",
    3_599_999: "59m 59s",
    90_000_000: "1d 1h",
}


def test_durations_of_every_length_can_be_written(module):
    written = module("lib/format.js", "return v.map(m.formatDuration)", list(DURATIONS))
    assert dict(zip(DURATIONS, written, strict=True)) == DURATIONS


def test_a_rerun_with_one_item_edited_keeps_the_others(console, server):
    run_id = server.start_run("ledger", {"items": [LARGE, LARGER, 7], "ratio": 1.0})
    server.api("POST", f"/v1/runs/{run_id}/cancel", {})
    page = console(f"runs/{run_id}")
    expect(page.locator(".title .chip")).to_have_text("cancelled")
    expect(page.get_by_role("complementary", name="Run")).to_contain_text(str(LARGER))
    page.get_by_role("button", name="Rerun", exact=True).click()
    dialog = page.get_by_role("dialog")
    field = dialog.get_by_label("Input")
    assert json.loads(field.input_value()) == {"items": [LARGE, LARGER, 7], "ratio": 1.0}
    assert "1.0" in field.input_value()
    field.fill(field.input_value().replace("7\n", "8\n"))
    for program in ("curl", "Python"):
        dialog.get_by_role("button", name=program, exact=True).click()
        expect(page.get_by_text(re.compile(f"{program} .*copied"))).to_be_visible()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert re.sub(r"\s", "", f"[{LARGE},{LARGER},8]") in re.sub(r"\s", "", copied)
    dialog.get_by_role("button", name="Start the rerun").click()
    expect(page).not_to_have_url(re.compile(run_id))
    again = page.url.rpartition("/")[2].partition("?")[0]
    assert server.state(again)["input"] == {"items": [LARGE, LARGER, 8], "ratio": 1.0}
    server.api("POST", f"/v1/runs/{again}/cancel", {})


def test_a_rerun_says_which_null_it_cannot_send(console, server):
    page = console(f"runs/{server.start_run('turns', {'note': 'x'})}")
    expect(page.locator(".title .chip")).to_have_text("succeeded")
    page.get_by_role("button", name="Rerun", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Input").fill('{"note": null}')
    dialog.get_by_role("button", name="Start the rerun").click()
    expect(dialog.get_by_role("alert").first).to_contain_text("cannot make one null: /note")


def test_an_answer_holds_only_what_was_typed(console, server):
    run_id = server.start_run("ledger")
    page = console(f"runs/{run_id}")
    form = page.locator("form.answer").first
    expect(form.get_by_label("limit").first).to_have_value("9007199254740993")
    form.get_by_role("button", name="Answer").click()
    expect(form.locator(".field.wrong")).to_have_count(2)  # account, holder; and nobody began an address
    form.get_by_label("account").first.fill("12x")
    form.get_by_label("holder").first.fill("Ada")
    form.get_by_role("button", name="Answer").click()
    expect(form.locator(".field.wrong")).to_contain_text("A number is expected")
    form.get_by_label("account").first.fill(str(LARGER))
    form.get_by_role("button", name="Answer").click()
    expect(page.locator(".title .chip")).to_have_text("succeeded")
    assert server.api("GET", f"/v1/runs/{run_id}/result")["result"] == {
        "account": LARGER,
        "holder": "Ada",
        "memo": "two\nlines",
        "limit": 9007199254740993,
        "rate": None,
        "address": None,
        "previous": None,
    }


def test_a_signal_given_as_json_and_as_a_form_holds_the_same(console, server):
    run_id = server.start_run("ledger")
    page = console(f"runs/{run_id}")
    page.get_by_role("button", name="Signal", exact=True).click()
    dialog = page.get_by_role("dialog")
    written = (
        f'{{"account": {LARGE}, "holder": "A\\nB", "rate": 1.0, "address": {{"street": "S"}}, "more": 1.0}}'
    )
    dialog.get_by_role("button", name="As JSON").click()
    dialog.get_by_label("As JSON").fill(written)
    dialog.get_by_role("button", name="As a form").click()
    expect(dialog.get_by_label("account").first).to_have_value(str(LARGE))
    dialog.get_by_role("button", name="As JSON").click()
    found = dialog.get_by_label("As JSON").input_value()
    assert json.loads(found) == {
        **json.loads(written),
        "memo": "two\nlines",
        "limit": 9007199254740993,
        "address": {"street": "S", "zip": ""},
    }
    assert (found.count("1.0"), found.count("\\n")) == (2, 2)
    server.api("POST", f"/v1/runs/{run_id}/cancel", {})


def test_a_form_shows_the_defaults_and_asks_for_what_has_none(console, server):
    page = console("workflows/wishes")
    page.get_by_role("button", name="Start a run").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("tone").locator("option:checked")).to_have_text("warm")
    for label, value in (("copies", "3"), ("share", "0.5"), ("labels item", "new"), ("street", "Main St")):
        expect(dialog.get_by_label(label)).to_have_value(value)
    expect(dialog.get_by_label("urgent").locator("option:checked")).to_have_text("No")
    dialog.get_by_role("button", name="Start", exact=True).click()
    expect(dialog.locator(".field.wrong")).to_contain_text("title")
    expect(dialog.get_by_text("This is required.")).to_be_visible()
    dialog.get_by_label("title").fill("A wish")
    dialog.get_by_role("button", name="Start", exact=True).click()
    expect(page).to_have_url(re.compile(r"/runs/run_"))
    run_id = re.search(r"run_\w+", page.url).group()
    assert server.state(run_id)["input"] == {
        "title": "A wish",
        "tone": "warm",
        "copies": 3,
        "share": 0.5,
        "urgent": False,
        "labels": ["new"],
        "address": {"street": "Main St", "zip": "8000"},
    }
