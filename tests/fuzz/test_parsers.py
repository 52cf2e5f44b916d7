"""Everything that reads text from outside, given anything: it answers, or refuses as it says it does.

``FUZZ_EXAMPLES=100000 pytest tests/fuzz`` looks longer.
"""

from __future__ import annotations

import copy
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infraweave.api.http.decoding import parse_body, read_body
from infraweave.api.http.fields import read_time
from infraweave.api.http.headers import best_match, is_json, preferred_wait
from infraweave.api.runs.queries import read_seq, read_tag
from infraweave.core import trace_context
from infraweave.core.access import is_token, make_token, parse_grant
from infraweave.core.data import expressions, json_codec, template
from infraweave.core.data.json_schema import schema_faults
from infraweave.core.data.values import from_rfc3339, is_pointer, resolve_pointer, to_seconds
from infraweave.core.run.rerun import merge_patch
from infraweave.core.workflow import document_codec, schedules
from infraweave.core.workflow.document import Document
from infraweave.core.workflow.graph import Graph
from infraweave.core.workflow.triggers import Schedule
from infraweave.engine.execution.outbound_policy import parse_allowed
from infraweave.errors import InfraWeaveError, RequestError
from tests.api import cursor_calls
from tests.conftest import EXAMPLES
from tests.core.faults import faults

settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "150")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("fuzz")

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#: What ``parse_body`` lets in.
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def near(*examples: str) -> st.SearchStrategy[str]:
    """Texts that are nearly right: parts of right ones, with something put in between."""
    parts = st.sampled_from(examples).flatmap(
        lambda text: st.tuples(st.integers(0, len(text)), st.text(max_size=4), st.integers(0, len(text))).map(
            lambda cut: text[: cut[0]] + cut[1] + text[cut[2] :]
        )
    )
    return st.text(max_size=60) | parts


def tried(call, refusal):
    """Return what a call returns, or what it raised, if it may raise that."""
    try:
        return call(), None
    except refusal as error:
        return None, error


#: What is read, what it may raise, and texts that are right.
READERS = {
    "cursor": (cursor_calls.read, RequestError, ["048-NYXDCTCum_Z8eEKzxW6c6a0NIN05"]),
    "last event id": (read_seq, RequestError, ["41", "9223372036854775807"]),
    "tag": (read_tag, ValueError, ["key:value"]),
    "time": (read_time, (ValueError, RequestError), ["2026-07-04T18:22:31Z", "2026-07-04T18:22:31.5+02:00"]),
    "rfc 3339": (from_rfc3339, ValueError, ["2026-07-04T18:22:31Z"]),
    "duration": (to_seconds, ValueError, ["1h30m", "48h", "30s", "0.5"]),
    "grant": (parse_grant, (ValueError, InfraWeaveError), ["read:workflow:a", "admin:tenant:*"]),
    "token": (is_token, (), [make_token("a" * 30)]),
    "traceparent": (trace_context.link, (), [PARENT]),
    "accept": (lambda text: best_match([text], ["application/json"]), (), ["text/*;q=0.5, */*"]),
    "content type": (is_json, (), ["application/json; charset=utf-8"]),
    "prefer": (lambda text: preferred_wait([text], 60), RequestError, ["wait=10, respond-async"]),
    "pointer": (
        lambda text: is_pointer(text) and resolve_pointer({"a": [1]}, text),
        LookupError,
        ["/a/0", "/~1"],
    ),
    "template": (lambda text: list(template.faults(text, {"input"})), (), ["a {input.b.0} {{c}}"]),
    "outbound": (parse_allowed, ValueError, ["example.org:443", "10.0.0.0/8", "[::1]:80"]),
}


@pytest.mark.parametrize("name", READERS)
def test_a_text_is_read_or_refused(name):
    read, refusal, examples = READERS[name]

    @given(near(*examples))
    def look(text):
        tried(lambda: read(text), refusal)

    look()


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_a_body_is_read_or_refused(data):
    value, refused = tried(lambda: parse_body(data, 64), RequestError)
    if refused is None:
        assert json_codec.loads(json_codec.dumps(value)) == value
        json_codec.canonical(value)
    else:
        assert refused.status == 400


@given(
    near("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), st.lists(near("a=b,c@d=e"), max_size=3)
)
def test_a_trace_is_joined_or_begun_anew(traceparent, tracestates):
    joined = trace_context.accept([traceparent], tracestates, "f" * 32)
    assert len(joined.trace_id) == 32
    assert set(joined.trace_id) <= set("0123456789abcdef")


@given(near("*/5 0-3 1,15 * mon-fri", "@daily", "0 3 * * *", "0 0 L * *"), near("Europe/Zurich", "UTC"))
def test_a_cron_has_faults_or_a_next_time(cron, zone):
    schedule = Schedule(name="s", cron=cron, timezone=zone)
    if not list(schedules.faults(schedule)):
        at = schedules.next_fire(schedule, 1_800_000_000_000)
        assert at is None or at > 1_800_000_000_000


@given(near("a == b ? ['x'] : []", "size(a) > 3 && b.c", "a.all(x, x > 1)"), JSON)
def test_an_expression_has_faults_or_a_value(expression, value):
    if not expressions.faults(expression, ["a", "b"]):
        given_values = {"a": value, "b": 1}
        found, _ = tried(lambda: expressions.evaluate(expression, given_values), expressions.ExpressionError)
        json_codec.dumps(found)


@given(JSON)
def test_a_schema_has_faults_or_none(schema):
    assert all(fault.code == "schema" for fault in schema_faults(schema))


@given(JSON, JSON)
def test_any_patch_fits_any_value(value, patch):
    merge_patch(value, patch)


DOCUMENTS = [json.loads((EXAMPLES / "release.json").read_text())]


def places(value, way=()):
    """Yield the ways to all parts of a JSON value."""
    yield way
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*way, key))


@given(st.data())
def test_a_document_is_read_and_judged_or_refused(data):
    document = copy.deepcopy(data.draw(st.sampled_from(DOCUMENTS)))
    for _ in range(data.draw(st.integers(1, 3))):
        way = data.draw(st.sampled_from(list(places(document))))
        if way:
            spoil(document, way, data.draw(JSON))
    read, refused = tried(lambda: read_body(Document, document), RequestError)
    if refused is not None:
        assert refused.status == 400
    elif not faults(read):
        document_codec.document_from_json(
            json_codec.loads(json_codec.dumps(document_codec.document_to_json(read)))
        )
        Graph(read)


def spoil(value, way, new) -> None:
    """Put something else at a place."""
    for key in way[:-1]:
        value = value[key]
    value[way[-1]] = new
