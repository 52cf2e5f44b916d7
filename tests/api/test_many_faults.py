"""A document with mistakes of several kinds is told all of them at once, each at its place."""

from __future__ import annotations

import json
from itertools import combinations

import pytest

from infraweave.api.http.decoding import decode
from infraweave.api.workflows.document_decoding import read_document
from infraweave.cli.input_files import survey_workflows
from infraweave.core.workflow.document import Document
from infraweave.core.workflow.rules.partial import faults_beside
from infraweave.errors import MalformedRequest
from infraweave.settings import Settings
from tests.api.conftest import told

LONGEST = 200


def act(name, *after, **more):
    return {"kind": "node", "name": name, "code": f"w:{name}", "after": list(after), **more}


#: By kind: what is changed in the document, and the places to be told; N is the place of its first node.
MISTAKES = {
    "unknown field": ({"nodes": [act("a", retyr={})]}, {"/nodes/N/retyr"}),
    "unknown field of the whole": ({"outptu": "x"}, {"/outptu"}),
    "type": ({"nodes": [act("b", timeout="30s")]}, {"/nodes/N/timeout"}),
    "type of edges": ({"nodes": [act("c") | {"after": "d"}]}, {"/nodes/N/after"}),
    "missing field": ({"nodes": [{"kind": "router", "name": "e", "code": "w:e"}]}, {"/nodes/N/routes"}),
    "unknown kind": ({"nodes": [act("f") | {"kind": "nod"}]}, {"/nodes/N/kind"}),
    "no object": ({"nodes": ["g"]}, {"/nodes/N"}),
    "choice": ({"nodes": [act("h", executor="gpu")]}, {"/nodes/N/executor"}),
    "limit": ({"nodes": [act("i") | {"code": "w:" + "i" * LONGEST}]}, {"/nodes/N/code"}),
    "range": ({"nodes": [act("j", retry={"max_attempts": 0})]}, {"/nodes/N/retry/max_attempts"}),
    "expression": ({"nodes": [{"kind": "node", "name": "k", "expression": "1 +"}]}, {"/nodes/N/expression"}),
    "schema": (
        {"nodes": [{"kind": "signal", "name": "l", "schema": {"type": "objct", "minimum": "1"}}]},
        {"/nodes/N/schema/type", "/nodes/N/schema/minimum"},
    ),
    "schema of the input": ({"input_schema": {"properties": {"a": 1}}}, {"/input_schema/properties/a"}),
    "cycle": ({"nodes": [act("m", "n"), act("n", "m")]}, {"/nodes"}),
    "unknown node": ({"output": "nowhere"}, {"/output"}),
    "concurrency": ({"concurrency": [{"limit": 0}]}, {"/concurrency/0/limit"}),
    "schedule": ({"schedules": [{"name": "s", "cron": "x"}]}, {"/schedules/0/cron"}),
    "type in a schedule": ({"schedules": [{"name": "s", "every": "1h"}]}, {"/schedules/0/every"}),
    "webhook": ({"webhooks": [{"name": "w", "secret_env": "A B"}]}, {"/webhooks/0/secret_env"}),
}


def mistaken(kinds):
    """Return a document with mistakes of some kinds, and the places that must be told."""
    document = {"workflow_id": "w", "version": "v1", "nodes": [act("sound")]}
    places = set()
    for kind in kinds:
        change, where = MISTAKES[kind]
        places |= {place.replace("N", str(len(document["nodes"]))) for place in where}
        nodes = [*document["nodes"], *change.get("nodes", ())]
        document = {**document, **change, "nodes": nodes}
    if "unknown node" in kinds and "no object" in kinds:
        places.remove("/output")  # that may be the name of the node that could not be read
    return document, places


def pairs():
    for kinds in combinations(MISTAKES, 2):
        fields = [set(MISTAKES[kind][0]) - {"nodes"} for kind in kinds]
        if not fields[0] & fields[1]:
            yield kinds


async def test_mistakes_of_every_two_kinds_are_told_at_once(open_api):
    async with open_api(settings=Settings(max_string=LONGEST)) as api:
        for kinds in pairs():
            document, places = mistaken(kinds)
            details = (await api.post("/v1/workflows", document)).json()["error"]["details"]
            assert {detail["path"] for detail in details} == places, (kinds, details)
            assert all(set(detail) == {"path", "message"} for detail in details)


async def test_mistakes_of_all_kinds_are_told_at_once(open_api):
    document, places = mistaken(
        [kind for kind in MISTAKES if kind not in ("no object", "type in a schedule")]
    )
    async with open_api(settings=Settings(max_string=LONGEST)) as api:
        answer = await api.post("/v1/workflows", document)
        assert told(answer) == (400, "malformed_request")
        assert {detail["path"] for detail in answer.json()["error"]["details"]} == places


def test_files_are_told_all_mistakes_at_once(tmp_path):
    for place, kinds in enumerate(kinds for kinds in pairs() if "limit" not in kinds):
        document, places = mistaken(kinds)
        file = tmp_path / f"flow{place}.json"
        file.write_text(json.dumps(document))
        _, lines = survey_workflows([file])
        assert len(lines) == len(places), (kinds, lines)


@pytest.mark.parametrize(
    "nodes",
    [
        [{"kind": "node", "name": "a", "params": 5, "expression": "input.x"}],
        [
            {"kind": "loop", "name": "l", "code": "c", "back_to": "a", "max_iterations": 2, "after": 5},
            act("a"),
        ],
        [act("a") | {"name": 5}, act("b", "zero")],
        [act("a") | {"name": 5}, act("b") | {"name": 6}],
        [{"kind": "map", "name": "m", "over": "input", "code": 5}],
        [{"kind": "signal", "name": "s", "schema": {}, "on_timeout": "value", "timeout": "1h"}],
        [{"kind": "http", "name": "h", "request": {"url": "http://x.test/{input}"}, "params": {}}],
    ],
)
def test_what_could_not_be_read_is_neither_told_twice_nor_guessed_at(nodes):
    document = {"workflow_id": "w", "nodes": nodes}
    _, faults = decode(Document, document)
    with pytest.raises(MalformedRequest) as caught:
        read_document(document)
    assert faults
    assert list(caught.value.details) == faults


def test_a_hundred_faults_are_enough():
    nodes = [act(f"n{place}", timeout="x") for place in range(200)]
    with pytest.raises(MalformedRequest) as caught:
        read_document({"workflow_id": "w", "nodes": nodes, "output": "nowhere"})
    assert len(caught.value.details) == 100


def test_a_sound_document_has_no_faults_beside_those_that_are_known():
    document, _ = decode(Document, {"workflow_id": "w", "nodes": [act("a"), act("b", "a")]})
    assert faults_beside(document, []) == []
