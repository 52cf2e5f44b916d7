"""Which runs a limit counts together, and what makes a limit wrong."""

from __future__ import annotations

import pytest
from attrs import evolve

from infraweave import Concurrency, DeclarationError, Workflow
from infraweave.core.data.template import TemplateError
from infraweave.core.workflow.concurrency import concurrency_key
from infraweave.core.workflow.diff import first_difference
from infraweave.core.workflow.document_codec import content_digest, document_from_json, document_to_json
from tests.core.faults import faults

KEYED = Concurrency(1, key="{input.region}/{input.customer.id}")


def nap(**options) -> Workflow:
    flow = Workflow("nap", version="v1", **options)
    flow.sleep("sleep", 1)
    return flow


def test_a_lane_is_named_for_the_key_and_what_fills_it():
    value = {"region": "eu", "customer": {"id": 17}}
    assert concurrency_key([Concurrency(5), KEYED], value) == "{input.region}/{input.customer.id} = eu/17"
    assert concurrency_key([Concurrency(5)], value) is None
    assert concurrency_key([], value) is None


def test_a_long_value_is_named_by_its_digest():
    first, second = (concurrency_key([Concurrency(1, key="{input}")], {"n": "x" * n}) for n in (300, 301))
    assert first != second
    assert len(first) == len(second) < 100


def test_an_input_without_the_value_has_no_lane():
    with pytest.raises(TemplateError, match="there is no customer"):
        concurrency_key([KEYED], {"region": "eu"})


@pytest.mark.parametrize(
    ("limits", "fault"),
    [
        ([Concurrency(0)], "limit is 0; expected 1 or more"),
        ([Concurrency(1, key="{inptu.x}")], "{inptu.x} names no value; there are input"),
        ([Concurrency(1, key="{input")], "single {"),
        ([Concurrency(1, key="{input}" * 100)], "a key has 700 characters"),
        ([Concurrency(1), Concurrency(2)], "2 limits are without a key"),
        ([KEYED, KEYED], "2 limits are with a key"),
    ],
)
def test_a_limit_that_cannot_be_is_a_fault(limits, fault):
    document = evolve(nap().compile(), concurrency=tuple(limits))
    assert any(fault in found for found in faults(document)), faults(document)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (True, "concurrency is True; expected a whole number"),
        (1.5, "concurrency is 1.5"),
        (["x"], "concurrency is 'x'"),
        (None, "concurrency is None"),
        (Concurrency(1, key=5), "key is 5; expected text"),
        (Concurrency(1, when_full="drop"), "when_full is 'drop'; expected 'queue' or 'reject'"),
    ],
)
def test_what_an_author_gives_is_checked_when_it_is_compiled(given, fault):
    with pytest.raises(DeclarationError) as told:
        nap(concurrency=given).compile()
    assert fault in str(told.value)


def test_limits_are_content_and_a_document_without_them_is_what_it_was():
    plain, limited = nap().compile(), nap(concurrency=2).compile()
    assert "concurrency" not in document_to_json(plain)
    assert nap(concurrency=[]).compile() == plain
    assert content_digest(plain) != content_digest(limited)
    assert "concurrency" in first_difference(plain, limited)
    assert document_from_json(document_to_json(limited)) == limited
