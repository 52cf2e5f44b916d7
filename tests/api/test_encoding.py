"""The fast forms of reading and writing JSON do what the slow ones do, which stay their definition."""

from __future__ import annotations

import json
import random
from unittest.mock import MagicMock

import pytest

from infraweave.api.http.decoding import dump
from infraweave.api.http.encoding import encode
from infraweave.api.routes import routes
from infraweave.api.runs import presenters
from infraweave.core.data.json_codec import dumps
from infraweave.settings import Settings
from infraweave.store.runs import RunFilters
from tests.api.random_values import classes_of, of

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
        assert encode(presenters.listed_row(stored)) == dumps(
            dump(presenters.listed(row, stored["last_seq"]))
        )
    aside = presenters.listed_row(page[0], set_aside=True)
    assert json.loads(encode(aside))["set_aside"] is True
