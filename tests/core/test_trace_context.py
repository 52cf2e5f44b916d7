"""What the W3C harness asks of a service, asked of the pure functions."""

from __future__ import annotations

import pytest

from infraweave.core.trace_context import (
    MAX_MEMBERS,
    RANDOM,
    SAMPLED,
    TraceContext,
    accept,
    combine,
    headers,
    link,
)

NEW = "f" * 32
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{SPAN}-01"


def test_no_headers_begin_a_new_trace():
    assert accept([], [], NEW) == TraceContext(NEW, None, SAMPLED | RANDOM, "")


def test_one_valid_traceparent_is_joined():
    assert accept([VALID], [], NEW) == TraceContext(TRACE, SPAN, SAMPLED, "")


@pytest.mark.parametrize("text", [f" {VALID}", f"\t{VALID}", f"{VALID} ", f"{VALID}\t", f"\t {VALID} \t"])
def test_white_space_around_a_traceparent_is_ignored(text):
    assert accept([text], [], NEW).trace_id == TRACE
    assert link([text]) == VALID


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{VALID}.",
        f"{VALID}-what-the-future-will-be-like",
        f"00-{TRACE}-{SPAN}",
        f"cc-{TRACE}-{SPAN}-01.what-the-future-will-be-like",
        f"cc-{TRACE}-{SPAN}-011",
        f"ff-{TRACE}-{SPAN}-01",
        f".0-{TRACE}-{SPAN}-01",
        f"0.-{TRACE}-{SPAN}-01",
        f"000-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-.{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE[:-1]}.-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-.{SPAN[1:]}-01",
        f"00-{TRACE}-{SPAN[:-1]}.-01",
        f"00-{TRACE}-{SPAN}0-01",
        f"00-{TRACE}-{SPAN[:-1]}-01",
        f"00-{TRACE}-{SPAN}-.0",
        f"00-{TRACE}-{SPAN}-0.",
        f"00-{TRACE}-{SPAN}-001",
        f"00-{TRACE}-{SPAN}-1",
        f"{VALID}\n",
        f"{VALID}, {VALID}",
    ],
)
def test_an_invalid_traceparent_begins_a_new_trace_and_drops_the_tracestate(text):
    assert accept([text], ["foo=1"], NEW) == TraceContext(NEW)
    assert link([text]) is None


def test_two_traceparents_begin_a_new_trace():
    assert accept([VALID, VALID], [], NEW).trace_id == NEW
    assert link([VALID, VALID]) is None


@pytest.mark.parametrize("more", ["", "-", "-what-the-future-will-be-like"])
def test_a_higher_version_is_read_as_far_as_it_is_known(more):
    context = accept([f"cc-{TRACE}-{SPAN}-ff{more}"], [], NEW)
    assert context == TraceContext(TRACE, SPAN, SAMPLED | RANDOM, "")


@pytest.mark.parametrize(
    ("flags", "kept"), [("00", 0), ("01", 1), ("02", 2), ("03", 3), ("ff", 3), ("08", 0)]
)
def test_the_sampled_and_the_random_flag_are_kept_and_no_other(flags, kept):
    context = accept([f"00-{TRACE}-{SPAN}-{flags}"], [], NEW)
    assert context.flags == kept
    assert headers(context, SPAN)["traceparent"] == f"00-{TRACE}-{SPAN}-{kept:02x}"


def test_a_tracestate_without_traceparent_is_dropped():
    assert accept([], ["foo=1,bar=2"], NEW).tracestate == ""


def test_a_tracestate_goes_with_the_trace():
    context = accept([VALID], ["foo=1,bar=2"], NEW)
    assert headers(context, "a" * 16) == {
        "traceparent": f"00-{TRACE}-{'a' * 16}-01",
        "tracestate": "foo=1,bar=2",
    }


def test_there_is_no_tracestate_header_without_a_tracestate():
    assert "tracestate" not in headers(accept([VALID], [""], NEW), SPAN)


def test_several_headers_are_combined_in_order():
    assert combine(["foo=1,bar=2", "rojo=1,congo=2", "baz=3"]) == "foo=1,bar=2,rojo=1,congo=2,baz=3"


@pytest.mark.parametrize("texts", [["foo=1", ""], ["", "foo=1"], ["foo=1,"], [",foo=1"], [" , foo=1,,"]])
def test_empty_members_are_allowed(texts):
    assert combine(texts) == "foo=1"


@pytest.mark.parametrize("text", ["foo=1 \t , \t bar=2, \t baz=3", "foo=1\t \t,\t \tbar=2,\t \tbaz=3"])
def test_white_space_around_members_is_ignored(text):
    assert combine([text]) == "foo=1,bar=2,baz=3"


@pytest.mark.parametrize("text", [" foo=1", "\tfoo=1", "foo=1 ", "foo=1\t", "\t foo=1 \t"])
def test_white_space_around_a_tracestate_is_ignored(text):
    assert combine([text]) == "foo=1"


KEY_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
VALUE_CHARACTERS = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in ",=")


@pytest.mark.parametrize("key", [KEY_CHARACTERS, f"{KEY_CHARACTERS}@a-z0-9_-*/", "0tenant@vendor"])
def test_every_allowed_character_is_kept(key):
    member = f"{key}={VALUE_CHARACTERS}"
    assert combine([member]) == member


@pytest.mark.parametrize(
    "text",
    [
        "foo =1,bar=2",
        "FOO=1,bar=2",
        "fOo=1,bar=2",
        "foo.bar=1,bar=2",
        "foo+bar=1,bar=2",
        "@foo=1,bar=2",
        "@=1,bar=2",
        "_foo=1,bar=2",
        "-foo=1,bar=2",
        "*foo=1,bar=2",
        "/foo=1,bar=2",
        "foé=1,bar=2",
        "foo=bar=baz,bar=2",
        "foo=,bar=3",
        "foo,bar=3",
        "=1,bar=3",
        "foo=\x7f,bar=3",
        "foo=é,bar=3",
        f"foo={'x' * 257},bar=3",
        f"bar=3,{'z' * 257}=1",
        f"bar=3,{'0' * 257}=1",
        f"bar=3,{'t' * 242}@{'v' * 14}=1",
    ],
)
def test_a_malformed_tracestate_is_dropped_without_resetting_the_trace(text):
    assert accept([VALID], [text], NEW) == TraceContext(TRACE, SPAN, SAMPLED, "")


@pytest.mark.parametrize(
    "texts",
    [
        ["foo=1,foo=1"],
        ["foo=1,foo=2"],
        ["foo=1", "foo=1"],
        ["foo=1", "foo=2"],
        ["foo=1,bar=1,foo=2"],
        ["foo=1,bar=1", "bar=2,foo=2"],
    ],
)
def test_duplicate_keys_are_passed_on_as_they_came(texts):
    assert combine(texts) == ",".join(texts)


@pytest.mark.parametrize(
    "key",
    [
        *("a", "0", "a@", "0@", "0foo", "foo@bar", "foo@0bar", "foo@@bar", "foo@bar@baz", "a-_*/@z"),
        f"{'t' * 242}@v",
        f"t@{'v' * 15}",
        f"t@{'v' * 254}",
    ],
)
def test_a_key_begins_with_a_letter_or_a_digit_and_holds_an_at_anywhere_after_that(key):
    assert combine([f"{key}=1,bar=2"]) == f"{key}=1,bar=2"


@pytest.mark.parametrize("key", ["z" * 256, "9" * 256, f"{'t' * 241}@{'v' * 14}", f"a{'@' * 255}"])
def test_the_longest_keys_and_values_are_kept(key):
    member = f"{key}={'x' * 256}"
    assert combine(["foo=1", member]) == f"foo=1,{member}"


def test_thirty_two_members_are_kept_and_thirty_three_dropped():
    members = [f"bar{n:02}={n:02}" for n in range(1, MAX_MEMBERS + 1)]
    assert combine([",".join(members[:20]), ",".join(members[20:])]) == ",".join(members)
    assert combine([",".join(members), "bar33=33"]) == ""
