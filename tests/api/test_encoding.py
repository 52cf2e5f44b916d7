"""The fast forms of reading and writing JSON do what the slow ones do, which stay their definition."""

from __future__ import annotations

import json
import random
from unittest.mock import MagicMock

import attrs
import pytest

from infraweave.api.http.decoding import _Faults, _object, decode, dump
from infraweave.api.http.encoding import encode
from infraweave.api.http.valid_bodies import Misfit, reader_of
from infraweave.api.routes import routes
from infraweave.api.runs import presenters
from infraweave.api.runs.schemas import BatchItem
from infraweave.core.data.json_codec import dumps
from infraweave.settings import Settings
from infraweave.store.runs import RunFilters
from tests.api.random_values import anything, classes_of, of

BODIES, RESPONSES = classes_of(routes(MagicMock(), Settings(), MagicMock()))
NAMES = {"ids": lambda cls: cls.__name__}


def test_the_routes_have_classes():
    assert len(BODIES) > 10
    assert len(RESPONSES) > 40


@pytest.mark.parametrize("cls", RESPONSES, **NAMES)
def test_a_response_is_encoded_as_its_fields_say(cls):
    dice = random.Random(cls.__name__)
    for _ in range(50):
        value = of(cls, dice, as_json=False)
        assert encode(value) == dumps(dump(value))


@pytest.mark.parametrize("value", [{1: 2}, {"a": object()}, {"a": {1}}, b"tea"])
def test_what_json_cannot_represent_is_refused(value):
    with pytest.raises(TypeError):
        encode(value)


async def test_a_listed_run_is_what_its_row_says(api):
    """Rows of every kind: open, ended, failed, with tags, delayed; made from the row and from its object."""
    await api.ended()
    await api.asked()
    tags = {"owner": "ödön ☕", 'quo"te': "back\\slash"}
    await api.post(
        "/v1/runs",
        {"workflow_id": "quick", "input": {"amount": 1}, "tags": tags, "start_at": "2099-01-01T00:00:00Z"},
    )
    await api.ended("failing", tags=tags)
    runs = api.server.engine.runs
    page = await runs.page("default", RunFilters(), limit=50, before=None)
    rows = await runs.list("default", limit=50)
    assert len(page) == len(rows) == 4
    for stored, row in zip(page, rows, strict=True):
        assert encode(presenters.listed_row(stored)) == dumps(dump(presenters.listed(row, stored.last_seq)))
    aside = presenters.listed_row(page[0], set_aside=True)
    assert json.loads(encode(aside))["set_aside"] is True


def mistaken(value, dice):
    """Return JSON with one thing changed, somewhere: left out, added, or of another type."""
    if isinstance(value, dict) and value and dice.random() < 0.7:
        name = dice.choice(sorted(value))
        changed = {**value, name: mistaken(value[name], dice)}
        if dice.random() < 0.2:
            del changed[name]
        return {**changed, "more": 1} if dice.random() < 0.1 else changed
    if isinstance(value, list) and value and dice.random() < 0.7:
        return [mistaken(value[0], dice), *value[1:]]
    return anything(dice)


@pytest.mark.parametrize("cls", [*BODIES, BatchItem], **NAMES)
def test_a_body_is_read_as_the_slow_form_reads_it(cls):
    dice, fast, refused = random.Random(cls.__name__), 0, 0
    for _ in range(300):
        value = of(cls, dice, as_json=True)
        value = mistaken(value, dice) if dice.random() < 0.6 else value
        faults = _Faults()
        expected = _object(cls, value, (), faults)
        assert decode(cls, value) == (expected, faults)
        assert exactly(decode(cls, value)[0]) == exactly(expected)
        try:
            reader_of(cls)(value)
        except Misfit:
            refused += 1
        else:
            fast += 1
            assert not faults
    assert fast > 20
    assert refused > 20


def exactly(value):
    """Return a text that tells 1 from 1.0 and from True, and a tuple from a list."""
    if attrs.has(type(value)):
        return f"{type(value)}({[exactly(getattr(value, f.name)) for f in attrs.fields(type(value))]})"
    return repr(value)
