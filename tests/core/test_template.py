"""Text with places for values."""

from __future__ import annotations

import pytest

from infraweave.core.data.template import TemplateError, faults, render, render_value
from infraweave.errors import Fault

VALUES = {"input": {"id": "o1", "lines": [{"sku": "a"}, {"sku": "b"}], "paid": True, "note": None}}


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("order {input.id}", "order o1"),
        ("{input.lines.1.sku}", "b"),
        ("{input.paid} {input.note}", "true null"),
        ("{{input.id}}", "{input.id}"),
        ("{input.lines}", '[{"sku":"a"},{"sku":"b"}]'),
        ("plain", "plain"),
    ],
)
def test_places_are_filled(text, rendered):
    assert render(text, VALUES) == rendered


def test_one_place_alone_is_the_value_itself():
    assert render_value("{input.lines}", VALUES) == VALUES["input"]["lines"]
    assert render_value("{input.paid}", VALUES) is True
    assert render_value("paid: {input.paid}", VALUES) == "paid: true"
    assert render_value("{{input}}", VALUES) == "{input}"


@pytest.mark.parametrize(
    "text", ["{input.nothing}", "{input.lines.2}", "{input.id.x}", "{other}", "{input.lines.-1}"]
)
def test_a_place_that_leads_nowhere_is_an_error(text):
    with pytest.raises(TemplateError, match="leads nowhere"):
        render(text, VALUES)


@pytest.mark.parametrize("text", ["{", "a } b", "{}", "{input id}", "{order.id}", "{input..id}", "{1}"])
def test_a_bad_template_has_a_fault(text):
    assert len(list(faults(text, {"input"}))) == 1


def test_where_there_are_no_names_the_fault_says_so():
    (fault,) = faults("{input.id}", ())
    assert fault == Fault("", "unknown_name", "{input.id} names no value; there are none")


def test_a_good_template_has_none():
    assert list(faults("{input.customer-id}/{input.0} {{}}", {"input"})) == []
