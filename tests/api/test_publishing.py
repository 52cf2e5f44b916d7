"""Definition documents through the door: published, refused with reasons, compared, run."""

from __future__ import annotations

import asyncio
import json
import random

import jsonschema_rs
import pytest

from infraweave import Workflow
from infraweave.api.http.decoding import read_body
from infraweave.api.workflows.document_schema import DocumentSchemas, workflow_schema
from infraweave.authoring.loader import load
from infraweave.client import ClientError
from infraweave.core.workflow.document import KINDS, Document
from infraweave.core.workflow.document_codec import document_to_json
from infraweave.errors import MalformedRequest
from tests.api.conftest import told
from tests.conftest import EXAMPLES
from tests.core.graphs import random_document

STEP = {"name": "step", "kind": "node", "code": "ship:step"}
NAP = {"name": "nap", "kind": "timer", "delay": 5, "after": ["step"]}
CALL = {"name": "call", "kind": "http", "request": {"url": "http://x.test/"}}
EACH = {"name": "each", "kind": "map", "over": "step", "code": "ship:step"}
INPUT = {"name": "input", "source": "input"}
HOURLY = {"name": "hourly", "every": 3600}
LABEL = {
    "workflow_id": "label",
    "version": "v1",
    "input_schema": {"type": "object"},
    "nodes": [STEP, NAP],
    "output": "step",
}


def flow() -> Workflow:
    made = Workflow("ship", version="v1")

    @made.node
    async def step() -> str:
        return "labelled"

    return made


@pytest.fixture
async def api(serve, api_of):
    async with serve(flow()) as server, api_of(server) as admin:
        yield admin


async def publish(api, document, status=201, **query):
    answer = await api.post("/v1/workflows", document, params=query)
    assert answer.status_code == status, answer.text
    return answer.json()


async def refused(api, document):
    answer = await api.post("/v1/workflows", document)
    code = told(answer)
    return code, {d["path"]: d["message"] for d in answer.json()["error"].get("details", ())}


async def test_a_document_is_published_and_its_nodes_call_loaded_code(api, clock):
    answer = await api.post("/v1/workflows", LABEL)
    assert answer.status_code == 201
    assert answer.json() == {
        "workflow_id": "label",
        "version": "v1",
        "created": True,
        "active_version": "v1",
        "previously_active": None,
        "unresolved": [],
        "missing_workflows": [],
    }
    kept = (await api.get(answer.headers["Location"])).json()
    assert kept["nodes"] == [STEP, {**NAP, "delay": 5.0}]
    run_id = await api.start("label", input={})
    await api.until(run_id, "node_completed")
    await alarm_is_set(clock, 5)
    await clock.advance(5)
    await api.until(run_id, "completed")
    assert (await api.get(f"/v1/runs/{run_id}/result")).json()["result"] == "labelled"


async def alarm_is_set(clock, seconds):
    """Wait until something on the clock is due then."""
    due = clock.now() + 1000 * seconds
    while due not in {timer.due_at for timer in clock._timers if not timer.cancelled}:  # noqa: ASYNC110
        await asyncio.sleep(0)


async def test_the_same_content_again_changes_nothing_and_says_so(api):
    await publish(api, LABEL)
    shuffled = {**LABEL, "nodes": LABEL["nodes"][::-1]}
    for document in (LABEL, shuffled):
        assert not (await publish(api, document, 200))["created"]
    assert (await api.get("/v1/workflows/label")).json()["versions"][0]["version"] == "v1"


async def test_other_content_under_a_published_version_is_a_conflict_that_names_the_difference(api):
    await publish(api, LABEL)
    answer = await api.post("/v1/workflows", {**LABEL, "nodes": [STEP, {**NAP, "delay": 6}]})
    assert told(answer) == (409, "version_conflict")
    assert "node nap: delay is 6, was 5" in answer.json()["error"]["message"]


async def test_without_a_version_it_is_named_for_its_content_as_a_declared_one_is(api):
    nameless = {key: value for key, value in LABEL.items() if key != "version"}
    version = (await publish(api, nameless))["version"]
    assert version.startswith("v-")
    assert (await publish(api, {**nameless, "version": version}, 200))["version"] == version
    declared = Workflow("nap")
    declared.sleep("nap", 5)
    document = document_to_json(declared.compile())
    del document["version"]
    assert (await publish(api, document))["version"] == declared.compile().version


async def test_a_later_version_becomes_active_only_when_asked_to(api):
    await publish(api, LABEL)
    second = await publish(api, {**LABEL, "version": "v2"})
    assert (second["active_version"], second["previously_active"]) == ("v1", "v1")
    again = await publish(api, {**LABEL, "version": "v2"}, 200, activate="true")
    assert (again["active_version"], again["previously_active"]) == ("v2", "v1")
    started = await api.post("/v1/runs", {"workflow_id": "label"})
    assert started.json()["workflow_version"] == "v2"
    assert (await publish(api, LABEL, 200, activate="false"))["active_version"] == "v2"


async def test_a_start_that_was_under_way_does_not_hide_an_activation(api):
    await publish(api, LABEL)
    await asyncio.gather(
        *(publish(api, {**LABEL, "version": f"w{n}"}, activate="true") for n in range(8)),
        *(api.post("/v1/runs", {"workflow_id": "label"}) for _ in range(8)),
    )
    active = (await api.get("/v1/workflows/label")).json()["active_version"]
    started = await api.post("/v1/runs", {"workflow_id": "label"})
    assert started.json()["workflow_version"] == active


async def test_code_that_is_not_loaded_is_told_and_the_run_waits_for_it(api):
    lost = {**STEP, "name": "lost", "code": "label:lost"}
    undo = {**STEP, "name": "undone", "compensate": {"code": "label:undo"}}
    done = await publish(api, {**LABEL, "nodes": [STEP, lost, undo, NAP]})
    assert done["unresolved"] == ["label:lost", "label:undo"]
    run = (await api.get(f"/v1/runs/{await api.start('label', input={})}")).json()
    assert [waits["node"] for waits in run["waiting_for"]] == ["lost"]


async def test_a_document_may_say_where_its_schema_is(api):
    published = await publish(api, {"$schema": "http://127.0.0.1:8470/v1/schemas/workflow", **LABEL})
    kept = await api.get(f"/v1/workflows/label/versions/{published['version']}")
    assert "$schema" not in kept.json()


async def test_the_client_publishes_compares_and_activates(api):
    client = api.server.client
    assert (await client.publish(LABEL))["created"]
    assert (await client.publish({**LABEL, "version": "v2", "output": "nap"}, activate=True))["created"]
    (found,) = await client.diff("label", "v1", "v2")
    assert found["text"] == 'output is "nap", was "step"'
    assert (await client.activate("label", "v1"))["active_version"] == "v1"
    assert [version["version"] for version in (await client.workflow("label"))["versions"]] == ["v1", "v2"]
    assert (await client.document("label", "v2"))["output"] == "nap"
    with pytest.raises(ClientError) as caught:
        await client.publish({**LABEL, "nodes": []})
    assert [detail["path"] for detail in caught.value.details] == ["/nodes", "/output"]


# --- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        ({"nodse": []}, "/nodse", "unknown field nodse; the nearest known one is nodes"),
        ({"nodes": None}, "/nodes", "must be an array, not null"),
        ({"nodes": {}}, "/nodes", "must be an array, not an object"),
        ({"nodes": ["step"]}, "/nodes/0", "must be an object, not a string"),
        ({"nodes": [{"name": "a"}]}, "/nodes/0/kind", "is missing; it is one of node, agent"),
        ({"nodes": [{**STEP, "kind": "nod"}]}, "/nodes/0/kind", "must be one of node, agent"),
        ({"nodes": [{**STEP, "kind": ["node"]}]}, "/nodes/0/kind", "must be one of node, agent"),
        ({"nodes": [{**STEP, "retyr": {}}]}, "/nodes/0/retyr", "the nearest known one is retry"),
        ({"nodes": [{**STEP, "timeout": "30s"}]}, "/nodes/0/timeout", "must be a number, not a string"),
        ({"nodes": [{**STEP, "timeout": True}]}, "/nodes/0/timeout", "must be a number, not true or false"),
        (
            {"nodes": [{**STEP, "retry": {"max_attempts": 2.5}}]},
            "/nodes/0/retry/max_attempts",
            "must be an integer, not a number",
        ),
        ({"nodes": [{**STEP, "compensate": True}]}, "/nodes/0/compensate", "must be an object, not true"),
        ({"nodes": [{"kind": "router", "name": "a"}]}, "/nodes/0/routes", "is missing"),
        ({"nodes": [STEP, {**NAP, "after": "step"}]}, "/nodes/1/after", "must be an array, not a string"),
        ({"input_schema": True}, "/input_schema", "must be an object, not true or false"),
        ({"version": ""}, "/version", "must have at least 1 characters"),
        ({"version": None}, "/version", "must be a string, not null"),
        ({"workflow_id": 7}, "/workflow_id", "must be a string, not an integer"),
    ],
)
async def test_what_is_no_document_is_malformed_at_a_place(api, change, path, words):
    code, details = await refused(api, {**LABEL, **change})
    assert code == (400, "malformed_request")
    assert words in details[path]


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        ({"workflow_id": "a b"}, "/workflow_id", "must be 1 to 128 letters"),
        ({"version": "v 1"}, "/version", "must be 1 to 128 letters"),
        ({"output": "stpe"}, "/output", "is not a node (did you mean step?)"),
        ({"nodes": []}, "/nodes", "there are no nodes"),
        ({"input_schema": {"type": "objct"}}, "/input_schema/type", "input: /type"),
        ({"input_schema": {"properties": {"a": 1}}}, "/input_schema/properties/a", "input: /properties/a"),
        (
            {"input_schema": {"properties": {"a b/c": {"type": 1}}}},
            "/input_schema/properties/a b~1c/type",
            "input: /properties/a b~1c/type",
        ),
        ({"concurrency": [{"limit": 2}, {"limit": 0, "key": "{input}"}]}, "/concurrency/1/limit", "is 0"),
        ({"concurrency": [{"limit": 1, "key": "{inpt.x}"}]}, "/concurrency/0/key", "{inpt.x} names no value"),
        (
            {"nodes": [{**STEP, "name": "concurrency", "timeout": -1}], "output": None},
            "/nodes/0/timeout",
            "-1",
        ),
        ({"concurrency": [{"limit": 1}, {"limit": 2}]}, "/concurrency", "2 limits are without a key"),
        ({"nodes": [{**STEP, "name": "input"}, NAP]}, "/nodes/0/name", "stands for the run's input"),
        ({"nodes": [STEP, {**NAP, "delay": -1}]}, "/nodes/1/delay", "expected 0 or more"),
        ({"nodes": [STEP, {**NAP, "after": ["stpe"]}]}, "/nodes/1/after", "did you mean step?"),
        ({"nodes": [STEP, STEP, NAP]}, "/nodes/1", "several nodes of this name"),
        (
            {"nodes": [{**STEP, "retry": {"max_attempts": 0}}, NAP]},
            "/nodes/0/retry/max_attempts",
            "expected 1 or more",
        ),
        (
            {"nodes": [{**STEP, "compensate": {"code": "x", "retry": {"initial": -1}}}, NAP]},
            "/nodes/0/compensate/retry/initial",
            "expected 0 or more",
        ),
        (
            {"nodes": [{**STEP, "params": [{"name": "inptu", "source": "inptu"}]}, NAP]},
            "/nodes/0/params/0",
            "parameter inptu names no node; there are input, nap (did you mean input?)",
        ),
        (
            {
                "nodes": [
                    {**STEP, "params": [INPUT, {"name": "total", "source": "totl"}]},
                    {**NAP, "name": "total"},
                ]
            },
            "/nodes/0/params/1/source",
            "parameter total: source 'totl' names no node; there are input, total (did you mean total?)",
        ),
        (
            {"nodes": [STEP, {**EACH, "params": [{"name": "item", "source": "item"}]}]},
            "/nodes/1/params/0",
            "there are input, $item, step (did you mean $item?)",
        ),
        (
            {"nodes": [{**STEP, "params": [{**INPUT, "pointer": "base"}]}, NAP]},
            "/nodes/0/params/0/pointer",
            "pointer 'base' is not a JSON Pointer",
        ),
        (
            {"nodes": [{"kind": "node", "name": "sum", "expression": "input.a +", "params": [INPUT]}]},
            "/nodes/0/expression",
            "in the expression 'input.a +'",
        ),
        ({"nodes": [{"kind": "node", "name": "sum"}]}, "/nodes/0", "makes its output; it has neither"),
        ({"nodes": [{**STEP, "name": "no good"}], "output": None}, "/nodes/0/name", "is not a node name"),
        (
            {"nodes": [STEP, {"kind": "map", "name": "each", "over": "stpe", "code": "ship:step"}]},
            "/nodes/1/over",
            "is not a node",
        ),
        (
            {"nodes": [STEP, {"kind": "router", "name": "way", "code": "c", "routes": ["stpe"]}]},
            "/nodes/1/routes",
            "did you mean step?",
        ),
        (
            {"nodes": [STEP, {"kind": "human_input", "name": "ask", "prompt": "?", "schema": {"type": 1}}]},
            "/nodes/1/schema/type",
            "schema: /type",
        ),
        ({"nodes": [{**STEP, "after": ["nap"]}, NAP]}, "/nodes", "step → nap → step is a cycle"),
        (
            {"nodes": [STEP, {**CALL, "request": {"url": "x.test"}}]},
            "/nodes/1/request/url",
            "its scheme is missing",
        ),
        (
            {"nodes": [STEP, {**CALL, "request": {"url": "http://x.test", "headers": {"X": "{x}"}}}]},
            "/nodes/1/request/headers",
            "{x} names no value",
        ),
        (
            {"nodes": [STEP, {**CALL, "compensate": {"request": {"url": "http://x.test", "accept": [1]}}}]},
            "/nodes/1/compensate/request/accept",
            "accept has 1",
        ),
        ({"schedules": [HOURLY, {"name": "b", "cron": "x"}]}, "/schedules/1/cron", "is not a valid schedule"),
        ({"schedules": [HOURLY, HOURLY]}, "/schedules/1", "several of this name"),
        ({"schedules": [{**HOURLY, "input": {"x": "{y}"}}]}, "/schedules/0/input", "{y} names no value"),
        (
            {"schedules": [HOURLY], "input_schema": {"required": ["a"]}},
            "/schedules/0/input",
            "does not fit",
        ),
        ({"webhooks": [{"name": "w", "secret_env": "a b"}]}, "/webhooks/0/secret_env", "is not a valid name"),
    ],
)
async def test_what_is_no_valid_workflow_is_refused_with_each_fault_at_its_place(api, change, path, words):
    code, details = await refused(api, {**LABEL, **change})
    assert code == (422, "definition_invalid")
    assert words in details[path]
    assert told(await api.get("/v1/workflows/label")) == (404, "workflow_not_found")


async def test_children_that_are_not_there_are_named(api):
    children = [
        ("own", "label", None),
        ("nobody", "nobody", None),
        ("later", "child", "v2"),
        ("there", "child", "v1"),
    ]
    nodes = [
        {
            "kind": "subworkflow",
            "name": name,
            "workflow_id": child,
            **({"workflow_version": of} if of else {}),
        }
        for name, child, of in children
    ]
    await publish(api, {**LABEL, "workflow_id": "child", "version": "v1"})
    assert (await publish(api, {**LABEL, "nodes": nodes, "output": None}))["missing_workflows"] == [
        "child v2",
        "nobody",
    ]


async def test_all_faults_are_told_at_once(api):
    code, details = await refused(api, {"workflow_id": 1, "nodes": [{**STEP, "x": 1}, {"kind": "none"}]})
    assert code == (400, "malformed_request")
    assert set(details) == {"/workflow_id", "/nodes/0/x", "/nodes/1/kind", "/nodes/1/name"}
    code, details = await refused(api, {**LABEL, "output": "x", "nodes": [{**STEP, "timeout": -1}]})
    assert code == (422, "definition_invalid")
    assert set(details) == {"/output", "/nodes/0/timeout"}


def calling(body: str, params: int = 0) -> dict:
    given = [{"name": f"p{i}", "source": "input"} for i in range(params)]
    request = {"url": "http://x.test/", "method": "POST", "body": [body] * 100}
    return {"name": "call", "kind": "http", "params": given, "request": request}


def choosing(expression: str, params: int) -> dict:
    given = [{"name": f"p{i}", "source": "input"} for i in range(params)]
    return {"name": "r", "kind": "router", "params": given, "expression": expression, "routes": ["r"]}


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"null",
        b'"x"',
        b"{",
        b'{"workflow_id": "x", "nodes": ' + b"[" * 70 + b"]" * 70 + b"}",
        b'{"workflow_id": "x", "nodes": [' + b"[" * 100_000,
        b'{"workflow_id": "\\ud800", "nodes": []}',
        b'{"workflow_id": "x", "nodes": [{"kind": "timer", "name": "n", "delay": 1e999}]}',
        b'{"workflow_id": "x", "nodes": [{"kind": "timer", "name": "n", "delay": NaN}]}',
        b'{"workflow_id": "x", "nodes": [{"kind": "timer", "name": "n", "delay": 99999999999999999999}]}',
        b'{"workflow_id": "x", "nodes": [' + b"{}," * 5_000 + b"{}]}",
        b'{"workflow_id": "x", "nodes": [{"kind": {}}, {"kind": null}, {"kind": 1}]}',
        json.dumps({"workflow_id": "x" * 100_000, "nodes": [NAP]}).encode(),
        json.dumps({"workflow_id": "x", "nodes": [{**NAP, "name": "n" * 100_000}]}).encode(),
        json.dumps(
            {"workflow_id": "x", "nodes": [{**NAP, "after": [], "name": f"n{n}"} for n in range(10_001)]}
        ).encode(),
        json.dumps({"workflow_id": "x", "nodes": [NAP], "y" * 100_000: 1}).encode(),
        json.dumps({"workflow_id": "x", "input_schema": {"pattern": "("}, "nodes": [NAP]}).encode(),
        json.dumps({"workflow_id": "x", "input_schema": {"$ref": "http://x/"}, "nodes": [NAP]}).encode(),
        json.dumps({"workflow_id": "x", "input_schema": {"title": "a" * 300_000}, "nodes": [NAP]}).encode(),
        json.dumps({"workflow_id": "x", "nodes": [calling("{a}", params=20_000)]}).encode(),
        json.dumps({"workflow_id": "x", "nodes": [calling("{" + "a" * 30_000 + "}")]}).encode(),
        json.dumps({"workflow_id": "x", "nodes": [calling("{secret." + "a" * 30_000 + "}")]}).encode(),
        json.dumps({"workflow_id": "x", "nodes": [choosing("a", params=5_000)]}).encode(),
    ],
    ids=range(23),
)
async def test_hostile_bodies_are_refused_shortly(api, body):
    answer = await api.http.post("/v1/workflows", content=body, headers={"Content-Type": "application/json"})
    assert told(answer)[0] in (400, 422)
    assert len(answer.content) < 30_000, answer.text[:2000]


async def test_many_headers_are_read_in_proportion(api):
    headers = {f"h{i}": "" for i in range(100_000)}
    node = {"name": "call", "kind": "http", "request": {"url": "http://x.test/", "headers": headers}}
    assert (await publish(api, {"workflow_id": "wide", "nodes": [node]}))["created"]
    headers["H5"] = ""
    code, details = await refused(api, {"workflow_id": "wide", "nodes": [node]})
    assert code == (422, "definition_invalid")
    assert "it is set several times" in str(details)


async def test_a_large_graph_holds_nobody_else_up(api):
    nodes = [
        {"kind": "timer", "name": f"n{i}", "delay": 1, "after": [f"n{j}" for j in range(max(0, i - 100), i)]}
        for i in range(2_000)
    ]
    publishing = asyncio.create_task(publish(api, {"workflow_id": "large", "nodes": nodes}))
    answers = 0
    while not publishing.done():
        assert (await api.get("/healthz")).status_code == 200
        answers += 1
    assert (await publishing)["created"]
    assert answers > 3


# --- who may -----------------------------------------------------------------------------------------------


async def test_publishing_needs_the_grant_on_that_workflow(api):
    eve = await api.other("publish:workflow:other", "execute:workflow:*")
    answer = await eve.post("/v1/workflows", LABEL)
    assert told(answer) == (403, "acl_denied")
    assert answer.json()["error"]["message"] == "Principal lacks publish on workflow:label."


async def test_another_workflows_code_may_be_called_only_by_who_may_execute_it(api):
    eve = await api.other("publish:workflow:label")
    answer = await eve.post("/v1/workflows", LABEL)
    assert told(answer) == (403, "acl_denied")
    assert answer.json()["error"]["message"] == "Principal lacks execute on workflow:ship."
    own = {**LABEL, "nodes": [{**STEP, "code": "label:step"}, NAP]}
    assert (await publish(eve, own))["unresolved"] == ["label:step"]
    child = {
        **LABEL,
        "output": None,
        "nodes": [{"kind": "subworkflow", "name": "pay", "workflow_id": "ship"}],
    }
    assert told(await eve.post("/v1/workflows", child)) == (403, "acl_denied")
    bob = await api.other("publish:workflow:label", "execute:workflow:ship", name="bob")
    await publish(bob, {**child, "version": "v3"})
    await publish(bob, {**LABEL, "version": "v2"})


async def test_documents_are_the_tenants_own(api):
    bob = await api.other("read:workflow:*", "publish:workflow:*", "execute:workflow:*", tenant="elsewhere")
    await publish(bob, {**LABEL, "output": "nap"})
    assert told(await api.get("/v1/workflows/label")) == (404, "workflow_not_found")
    await publish(api, LABEL)
    kept = (await bob.get("/v1/workflows/label/versions/v1")).json()
    assert kept["output"] == "nap"


# --- differences -------------------------------------------------------------------------------------------


async def test_two_versions_are_compared_in_full(api):
    await publish(api, LABEL)
    longer, more = {**NAP, "delay": 6, "after": []}, {**NAP, "name": "more", "after": []}
    await publish(api, {**LABEL, "version": "v2", "output": None, "nodes": [longer, more]})
    answer = (await api.get("/v1/workflows/label/diff?from=v1&to=v2")).json()
    assert (answer["workflow_id"], answer["from_version"], answer["to_version"]) == ("label", "v1", "v2")
    assert [difference["text"] for difference in answer["differences"]] == [
        'output is null, was "step"',
        "node step is gone",
        'node nap: after is [], was ["step"]',
        "node nap: delay is 6, was 5",
        "node more is new",
    ]
    assert answer["differences"][3] == {
        "change": "changed",
        "node": "nap",
        "field": "delay",
        "before": 5.0,
        "after": 6.0,
        "text": "node nap: delay is 6, was 5",
    }
    same = (await api.get("/v1/workflows/label/diff?from=v1&to=v1")).json()
    assert same["differences"] == []


@pytest.mark.parametrize(
    ("query", "status", "code", "words"),
    [
        ("from=v1&to=v9", 404, "version_not_found", "no version v9"),
        ("from=v9&to=v1", 404, "version_not_found", "no version v9"),
        ("from=v1", 400, "malformed_request", "the query parameter to is missing"),
        ("", 400, "malformed_request", "the query parameter from is missing"),
        ("from=v1&to=", 400, "malformed_request", "expected a version"),
        ("from=v1&to=v1&from=v1", 400, "malformed_request", "from is given twice"),
        ("form=v1&to=v1", 400, "malformed_request", "the nearest known one is from"),
    ],
)
async def test_a_comparison_needs_two_versions(api, query, status, code, words):
    answer = await api.get(f"/v1/workflows/ship/diff?{query}")
    assert told(answer) == (status, code)
    assert words in answer.json()["error"]["message"]


# --- the schema --------------------------------------------------------------------------------------------


async def test_the_schema_is_served_to_whoever_has_a_token(api):
    eve = await api.other()
    served = (await eve.get("/v1/schemas/workflow")).json()
    assert served == workflow_schema()
    jsonschema_rs.meta.validate(served)
    nobody = await api.with_headers({})
    assert told(await nobody.get("/v1/schemas/workflow")) == (401, "unauthenticated")


def test_the_schema_has_every_kind_and_says_what_fields_mean():
    schema = workflow_schema()
    for kind, cls in KINDS.items():
        known = schema["$defs"][cls.__name__]
        assert kind in known["properties"]["kind"]["enum"]
        assert "kind" in known["required"]
        assert known["description"]
    named = [one["$ref"].rpartition("/")[2] for one in schema["properties"]["nodes"]["items"]["anyOf"]]
    assert set(named) == {cls.__name__ for cls in KINDS.values()}
    assert schema["$defs"]["Activity"]["properties"]["timeout"]["description"] == "Seconds per attempt."
    assert schema["$defs"]["Retry"]["properties"]["max_attempts"]["default"] == 3
    assert schema["$defs"]["Router"]["properties"]["after"]["description"]
    generator = DocumentSchemas(prefix="#/x/")
    generator.reference(Document)
    assert all(cls.__name__ in generator.definitions for cls in KINDS.values())


def documents():
    yield from (document_to_json(workflow.compile()) for workflow in load([EXAMPLES]))
    yield from (document_to_json(random_document(random.Random(seed))) for seed in range(40))
    yield LABEL


def test_every_document_is_as_the_schema_says_and_is_read_as_it_was_written():
    validator = jsonschema_rs.validator_for(workflow_schema())
    for document in documents():
        assert [error.message for error in validator.iter_errors(document)] == []
        assert document_to_json(read_body(Document, document)) == document_to_json(
            read_body(Document, json.loads(json.dumps(document)))
        )


def mutated(rng, value):
    """Return a document with one thing in it replaced, added or left out."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        act = rng.random()
        if act < 0.15:
            return {k: v for k, v in value.items() if k != key}
        if act < 0.3:
            return {**value, f"{key}x": 1}
        return {**value, key: mutated(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        return [mutated(rng, item) if i == place else item for i, item in enumerate(value)]
    return rng.choice([None, True, 3, 2.5, 4.0, "", "node", "router", [], ["a"], [1], {}, {"a": 1}])


@pytest.mark.parametrize("seed", range(20))
def test_the_schema_allows_exactly_what_is_read(seed):
    rng = random.Random(seed)
    validator = jsonschema_rs.validator_for(workflow_schema())
    for document in documents():
        changed = mutated(rng, document)
        try:
            read_body(Document, changed)
            is_read = True
        except MalformedRequest:
            is_read = False
        assert validator.is_valid(changed) == is_read, changed
