"""CEL expressions: what they yield, what is wrong with them, and how they are kept from eating the server."""

from __future__ import annotations

import subprocess
import sys

import pytest

from infraweave.core.data.expressions import MAX_LENGTH, ExpressionError, evaluate, faults, is_quick

VALUES = {
    "input": {"total": 120, "tags": ["new", "vip"], "lines": [{"sku": "a", "n": 1}, {"sku": "b", "n": 3}]},
    "review": {"ok": True, "note": None, "a-b": 1.5},
}


@pytest.mark.parametrize(
    ("expression", "yielded"),
    [
        ('input.total > 100 ? "approval" : "auto"', "approval"),
        ("input.total >= 100.5", True),
        ('"vip" in input.tags && review.ok', True),
        ("input.lines.filter(l, l.n > 1).map(l, l.sku)", ["b"]),
        ('input.lines.all(l, l.sku.matches("^[a-z]$"))', True),
        ("has(input.nothing)", False),
        ("review.note == null", True),
        ('review["a-b"]', 1.5),
        ("[]", []),
        ('{"sum": input.total + 1}', {"sum": 121}),
        ('["a", "b+c"].exists(x, x == "b+c")', True),
        ('"é".size()', 1),
        ("null", None),
        ("input.total / 7", 17),
    ],
)
def test_an_expression_yields_plain_json(expression, yielded):
    assert faults(expression, VALUES) == []
    assert evaluate(expression, VALUES) == yielded


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("input.total >", "at character 14: Syntax error"),
        ("totl > 1", "undeclared reference to 'totl'; there are input, review"),
        ('1 + "a"', "no matching overload"),
        ("input.total.foo()", "undeclared reference to 'foo'"),
        ("1" * (MAX_LENGTH + 1), "more than 2,000"),
        ("(" * 40 + "1" + ")" * 40, "recursion limit"),
        ("[1].map(a, a).map(a, a).map(a, a).map(a, a)", "4 macros"),
        ("input.tags.map(t, t + t)", "with macros"),
        ('r"\\" + "".map(t, string(t))', "with macros"),
        ("", "Syntax error"),
    ],
)
def test_what_is_wrong_is_told_when_it_is_published(expression, words):
    assert words in faults(expression, VALUES)[0].message


def test_each_unknown_name_is_a_fault_of_its_own():
    assert len(faults("a > b", ["input"])) == 2


def test_names_that_the_language_cannot_spell_are_left_out():
    assert faults("ok", ["auto-approve", "in", "ok"]) == []
    assert evaluate("ok", {"auto-approve": 1, "in": 2, "ok": 3}) == 3


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("input.nothing", "Key not found in map"),
        ("input.total + review.note", "No matching overloads"),
        ("1 / (input.total - 120)", "divide by zero"),
        ("1.0 / 0.0", "infinity"),
        ('b"abc"', "yields bytes"),
        ('timestamp("2026-01-01T00:00:00Z")', "yields timestamp"),
        ('[duration("3s")]', "yields duration"),
        ("{1: 2}", "a map with the key 1"),
        ("18446744073709551615u", None),
        ("type(1)", "yields type"),
        ("nope", "undeclared"),
    ],
)
def test_what_goes_wrong_while_it_runs_is_one_clear_error(expression, words):
    if words is None:
        assert evaluate(expression, VALUES) == 2**64 - 1
        return
    with pytest.raises(ExpressionError, match=words):
        evaluate(expression, VALUES)


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("l.all(a, l.all(b, l.all(c, true)))", {"l": list(range(100))}),
        ("l.map(a, a)", {"l": list(range(3_000))}),
        ("l.filter(a, true)", {"l": list(range(3_000))}),
        ("+".join(["x"] * 100), {"x": "a" * 100_000}),
        ("l.all(a, l.all(b, x == y))", {"l": list(range(99)), "x": [0] * 9_000, "y": [0] * 9_000}),
        (" && ".join(["x == y"] * 100), {"x": [0] * 500_000, "y": [0] * 500_000}),
        (
            "[x].map(a, [a" + ", a" * 19 + "]).map(a, [a" + ", a" * 19 + "]) == y",
            {"x": [[0] * 99] * 99, "y": 1},
        ),
        ("l.exists(a, x.matches('(a|b|ab)*c$'))", {"l": [0] * 900, "x": "ab" * 60_000}),
        ("l.exists(a, a == 1)", {"l": [0] * 1_000_000}),
        ("[" + ",".join(["x"] * 60) + "]", {"x": [1] * 10_000}),
        ("x", {"x": [1] * 200_000}),
        ("x", {"x": "a" * 3_500_000}),
        ("[x]" + ".map(a, [a, a, a, a, a, a, a, a, a, a, a, a])" * 3, {"x": [1] * 100}),
    ],
)
def test_what_would_eat_the_server_is_refused(expression, values):
    with pytest.raises(ExpressionError, match=r"budget|at most|too many|more than"):
        evaluate(expression, values)


@pytest.mark.parametrize(
    ("expression", "yielded"),
    [
        ("docs.filter(d, d.ok).map(d, d.id).size() > 400", True),
        ("docs.exists(d, d.id == wanted.id)", True),
        ("docs.all(d, d.tags.exists(t, t == 'b'))", True),
        ("size(docs) == 900 && wanted.id in [899, 5]", True),
    ],
)
def test_what_people_ask_of_a_good_deal_of_data_is_answered(expression, yielded):
    docs = [{"id": n, "ok": n % 2 == 0, "tags": ["a", "b"], "text": "lorem " * 20} for n in range(900)]
    assert evaluate(expression, {"docs": docs, "wanted": {"id": 899}}) is yielded


def test_a_hostile_pattern_takes_no_time():
    assert evaluate("x.matches('^(a+)+$')", {"x": "a" * 5_000 + "!"}) is False


def test_the_library_is_loaded_only_when_an_expression_is():
    code = "import sys, infraweave.core.data.expressions; sys.exit('cel_expr_python' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("s.contains(t)", {"s": "a" * 30_000, "t": "a" * 15_000 + "b"}),
        ("(s + s + s + s + s + s + s + s).contains(t + t + t + t)", {"s": "a" * 9_000, "t": "a" * 9_000}),
        ("s.matches(t)", {"s": "a", "t": "(a{1000}){1000}"}),
        ("s.matches('' + '((a{100}){100}){100}')", {"s": "a"}),
        ("s.matches('((a|b){1,99}){1,99}c')", {"s": "ab" * 999}),
        (r"s.matches('(a\x7b1000})\x7b1000}')", {"s": "a"}),
        ("matches(s, t)", {"s": "a", "t": "(a{1000}){1000}"}),
        ("l.all(a, l.all(b, s.contains(t)))", {"l": [0] * 99, "s": "a" * 2_000, "t": "a" * 999 + "b"}),
        ("v", {"v": [[]] * 100_000}),
        ("[v, v, v, v, v, v, v, v, v]", {"v": [0] * 9_000}),
    ],
)
def test_what_may_take_long_is_known_beforehand(expression, values):
    assert not is_quick(expression, values)


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("total > 100.0 && kind == 'card' ? 'big' : 'small'", {"total": 120, "kind": "card"}),
        ("who.email.endsWith('@example.com') || who.roles.exists(r, r == 'admin')", VALUES),
        ("docs.filter(d, d.ok).map(d, d.id)", {"docs": [{"id": n, "ok": True} for n in range(50)]}),
        ("text.contains('refund')", {"text": "lorem ipsum " * 100}),
        (r"mail.matches(r'^[a-z.]{1,40}@[a-z]+\.com$')", {"mail": "ann@example.com"}),
        ("state != 'done'", {"state": "running", "more": ["lorem"] * 999}),
    ],
)
def test_what_people_mostly_ask_is_quick(expression, values):
    assert is_quick(expression, values)
