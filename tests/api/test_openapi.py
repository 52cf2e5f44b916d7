"""The description is true to the letter: every route, every code, every field of real answers."""

from __future__ import annotations

import json
import re

import jsonschema_rs
import pytest
from openapi_spec_validator import validate

from infraweave import Workflow, errors
from infraweave.api.app import create_app
from infraweave.api.http.metrics import Metrics
from infraweave.api.routes import routes
from infraweave.core.run.events import EVENT_TYPES
from infraweave.core.workflow.webhooks import sign
from infraweave.settings import Settings
from tests.api.test_auth import BODIES

JSON = "application/json"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CHANGES = "/v1/runs/changes"
YES = {"payload": {"approved": True}}


@pytest.fixture
def spec_of():
    async def asking(api):
        return (await api.get("/openapi.json")).json()

    return asking


@pytest.fixture
async def spec(api, spec_of):
    return await spec_of(api)


def codes():
    found = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.RequestError)]
    return {cls.code: cls.status for cls in found if cls is not errors.RequestError}


def operations(spec):
    return {
        (method.upper(), path): operation
        for path, item in spec["paths"].items()
        for method, operation in item.items()
    }


async def test_it_is_openapi_3_1_and_valid(spec):
    assert spec["openapi"].startswith("3.1")
    validate(spec)


async def test_every_registered_rule_is_described_and_every_description_registered(api, spec):
    app = create_app(api.server.engine)
    rules = {
        (method, re.sub(r"<(?:[^:>]*:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD"}
    }
    assert rules == set(operations(spec))


async def test_every_code_stands_in_it_with_its_status(spec):
    told = {
        (code, int(status))
        for where in [*operations(spec).values(), {"responses": spec["components"]["responses"]}]
        for status, response in _by_status(where["responses"])
        for code in re.findall(r"\b[a-z]+(?:_[a-z]+)*\b", response["description"])
        if code in codes()
    }
    assert told == set(codes().items())
    enum = spec["components"]["schemas"]["ErrorInfo"]["properties"]["code"]["enum"]
    assert set(enum) == set(codes())


def _by_status(responses):
    for key, response in responses.items():
        yield (key if key.isdigit() else codes()[key]), response


async def test_every_operation_has_a_name_of_its_own_and_says_what_it_needs(spec):
    names = [operation["operationId"] for operation in operations(spec).values()]
    assert len(set(names)) == len(names)
    for (_, path), operation in operations(spec).items():
        if path == "/v1/sign-in":
            continue
        assert operation["summary"], path
        assert bool(operation["security"]) == (path.startswith("/v1/") or path == "/metrics")
        assert ("401" in operation["responses"]) == bool(operation["security"])


async def test_the_headers_of_the_contract_are_described(spec):
    start = operations(spec)["POST", "/v1/runs"]
    assert {"Idempotency-Key", "Prefer", "traceparent", "tracestate"} <= {
        p["name"] for p in start["parameters"]
    }
    assert {"Location", "Preference-Applied"} <= set(start["responses"]["201"]["headers"])
    assert "Idempotent-Replayed" in start["responses"]["200"]["headers"]
    events = operations(spec)["GET", "/v1/runs/{run_id}/events"]
    assert "Last-Event-ID" in {p["name"] for p in events["parameters"]}
    assert set(events["responses"]["200"]["content"]) == {"text/event-stream", "application/json"}
    for operation in operations(spec).values():
        for response in operation["responses"].values():
            assert "X-Request-Id" in response["headers"]


async def test_what_callers_may_leave_out_is_not_required_of_them(spec):
    fields = {name: shape.get("required") for name, shape in spec["components"]["schemas"].items()}
    assert (fields["RerunRun"], fields["SendSignal"], fields["StopRun"]) == ([], [], [])
    assert (fields["StartRun"], fields["BatchItem"]) == (["workflow_id"], ["workflow_id"])


async def test_a_path_of_a_word_of_ours_is_none_of_a_run(api):
    for method, path, allowed in (
        ("GET", "/v1/runs/batch", "POST"),
        ("DELETE", "/v1/runs/batch", "POST"),
        ("POST", "/v1/runs/counts", "GET, HEAD"),
        ("POST", "/v1/runs/changes", "GET, HEAD"),
        ("POST", "/v1/runs/run_none", "GET, HEAD"),
    ):
        answer = await api.http.request(method, path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, allowed), (method, path)
    assert (await api.get("/v1/runs/batches")).json()["error"]["code"] == "run_not_found"


async def test_a_dry_run_refuses_the_headers_that_the_run_itself_would_refuse(api):
    run_id = await api.ended()
    for name in ("X-Infraweave-Trigger", "Idempotency-Key"):
        for dry_run in (True, False):
            headers = {name: "x" * 256}
            answer = await api.post(f"/v1/runs/{run_id}/rerun", {"dry_run": dry_run}, headers=headers)
            assert (answer.status_code, name in answer.text) == (400, True)


# --- real answers ------------------------------------------------------------------------------------------


class Watch:
    """Holds every answer that a client gets against the description, and remembers which were seen."""

    def __init__(self, spec):
        self.spec, self.seen = spec, set()
        self._patterns = [
            (re.compile(re.sub(r"{\w+}", "[^/]+", path)), path)
            for path in sorted(spec["paths"], key=lambda path: path.count("{"))
        ]
        self._validators = {}

    async def __call__(self, answer):
        if answer.is_error or answer.request.url.path != CHANGES:  # that one never ends
            await answer.aread()
        method, path = answer.request.method, self._path(answer.request.url.path)
        operation = self.spec["paths"][path][method.lower()]
        described = operation["responses"].get(str(answer.status_code))
        assert described, (method, path, answer.status_code, answer.text)
        self.seen.add((method, path, answer.status_code))
        undeclared = {name.title() for name in answer.headers} - {
            *(name.title() for name in described["headers"]),
            *("Content-Type", "Content-Length", "Date", "Cache-Control", "Transfer-Encoding", "Connection"),
            *("X-Content-Type-Options", "Referrer-Policy", "Content-Security-Policy"),
        }
        assert not undeclared, (method, path, answer.status_code)
        media = answer.headers.get("Content-Type", "").partition(";")[0]
        assert set(described.get("content", {})) >= ({media} if media else set())
        if media == "application/json":
            schema = described["content"][media]["schema"]
            faults = [
                f"{e.instance_path} {e.message}" for e in self._validator(schema).iter_errors(answer.json())
            ]
            assert faults == [], (method, path, answer.text)
        if answer.is_error:
            assert answer.json()["error"]["code"] in described["description"], (method, path, answer.text)

    def _path(self, path):
        return next(template for pattern, template in self._patterns if pattern.fullmatch(path))

    def _validator(self, schema):
        key = json.dumps(schema)
        if key not in self._validators:
            whole = {**schema, "components": self.spec["components"]}
            self._validators[key] = jsonschema_rs.validator_for(whole)
        return self._validators[key]


async def test_every_answer_of_every_route_is_as_described(open_api, spec_of):
    async with open_api(settings=Settings(max_body=5000, max_streams=1)) as api:
        watch = Watch(await spec_of(api))
        api.http.event_hooks["response"].append(watch)
        await _go_round(api)
        wanted = {
            (method, path, int(status))
            for (method, path), operation in operations(watch.spec).items()
            for status in operation["responses"]
        }
        never = {
            *(405, 404, 421, 429, 500, 503),  # never of one route, or not without breaking something
            *(408, 431),  # of the connection, before any route: tests/api/test_hostile.py
        }
        unseen = {(m, p, status) for m, p, status in wanted - watch.seen if status not in never}
        # A page takes any query: only a head that contradicts itself is malformed.
        unseen = {(m, p, status) for m, p, status in unseen if status != 400 or not _is_page(p)}
        assert {p for _, p, status in unseen if status < 300} == set()
        assert {p for _, p, status in unseen if status in (400, 401, 403, 406, 413, 415)} == set()
        assert unseen == set()


def _is_page(path):
    return path == "/" or path.startswith("/console")


async def _go_round(api):
    """Ask every route in every way that does not need a broken server."""
    run_id, request_id = await api.asked()
    stopping, failed, done = await api.start("asking"), await api.ended("failing"), await api.ended()
    paths = {
        "run_id": run_id,
        "name": "approval",
        "workflow_id": "quick",
        "version": "v1",
        "token_id": "tok_none",
        "schedule_id": "quick:kept",
        "webhook": "kept",
        "path": "runs",
        "file": "app.js",
    }
    await _well(api, run_id, request_id, stopping, failed, done)
    eve, nobody = await api.other(), await api.with_headers({})
    for someone in (eve, nobody):
        someone.http.event_hooks["response"] += api.http.event_hooks["response"]
    for route in routes(api.server.engine, api.server.engine.settings, Metrics(api.server.engine)):
        path, body = route.path.format(**paths), BODIES.get(route.name)
        await nobody.http.request(route.method, path, json=body)
        async with eve.http.stream(route.method, path, json=body):
            pass
        await api.http.request(route.method, f"{path}?nonsense=1", json=body)
        await api.http.request(route.method, path, json=body, headers={"Accept": "image/png"})
        await api.http.request(route.method, path, content=b" " * 5001)
        if route.method != "GET":
            headers = {"Content-Type": "text/plain"}
            await api.http.request(route.method, path, content=b"{}", headers=headers)
        missing = dict.fromkeys(paths, "none")
        if missing_path := "{" in route.path and route.path.format(**missing):
            await api.http.request(route.method, missing_path, json=body)


async def _well(api, run_id, request_id, stopping, failed, done):
    get, post, put = api.get, api.post, api.http.put
    start = {"workflow_id": "quick", "input": {"amount": 1}}
    key = {"headers": {"Idempotency-Key": "k"}}
    await post("/v1/runs", start, headers={"Prefer": "wait=1", "Idempotency-Key": "k"})
    await post("/v1/runs", start, **key)
    await post("/v1/runs", {**start, "tags": {}}, **key)
    for body in ({**start, "input": {}}, {"workflow_id": "none"}, {**start, "workflow_version": "v9"}):
        await post("/v1/runs", body)
    items = [start, {**start, "input": {}}, {"workflow_id": "none"}, 5, {**start, "idempotency_key": "k"}]
    await post("/v1/runs/batch", {"runs": [*items, {**start, "start_at": "2027-01-01T00:00:00Z"}]})
    for path in (
        "/v1/runs?limit=2",
        "/v1/runs/counts",
        "/v1/runs/counts?parent_run_id=none",
        "/v1/statistics",
        "/v1/statistics?since=2020-01-01T00:00:00Z",
        "/v1/status",
        "/v1/runs?cursor=x",
        "/v1/input-requests?limit=1",
        "/v1/input-requests?cursor=x",
        f"/v1/runs/{done}/history?limit=1",
        "/v1/whoami",
    ):
        await get(path)
    for run in (run_id, failed, done):
        for path in ("", "/explain", "/result", "/history", "/history?cursor=x", "/events?after=999"):
            await get(f"/v1/runs/{run}{path}")
        await get(f"/v1/runs/{run}/events", headers={"Accept": "application/json"})
        await get(f"/v1/runs/{run}/events?include=payloads", headers={"Accept": "application/json"})
    await get(f"/v1/runs/{done}/events")
    await get(f"/v1/runs/{done}/events?after=5")
    again = f"/v1/runs/{failed}/rerun"
    for body in ({}, {"dry_run": True}, {"from_node": "none"}, {"version": "v9"}):
        await post(again, body, headers={"Idempotency-Key": "again"})
    await post(again, {}, headers={"Idempotency-Key": "again"})
    await post(again, {"input": []})
    await post(f"/v1/runs/{run_id}/rerun")
    signal = f"/v1/runs/{run_id}/signals/approval"
    for body in ({}, {"request_id": request_id, **YES}, {"request_id": request_id, **YES}, YES):
        await post(signal, body)
    await post(signal, {"request_id": request_id, "payload": 1})
    await post(f"/v1/runs/{run_id}/signals/none", {})
    await post(f"/v1/runs/{stopping}/cancel", {"reason": "x"})
    await post(f"/v1/runs/{done}/cancel")
    await post(f"/v1/runs/{done}/terminate")
    await post(f"/v1/runs/{done}/resume")
    await put("/v1/workflows/quick/active", json={"version": "v1"})
    await put("/v1/workflows/quick/active", json={"version": "v9"})
    await _publish(api)
    for path in ("", "/quick", "/quick/versions/v1", "/quick/versions/v9"):
        await get(f"/v1/workflows{path}")
    for versions in ("from=v1&to=v2", "from=v1&to=v9"):
        await get(f"/v1/workflows/quick/diff?{versions}")
    await get("/v1/schemas/workflow")
    for path in ("/v1/tokens", "/v1/admin/tokens"):
        made = await post(path, {"tenant": "default", "principal": "p", "expires": "1h"})
        await get(path)
        await api.http.delete(f"{path}/{made.json()['token_id']}")
    await _administer(api)
    await _triggers(api)
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        await get(path)
    await post("/v1/sign-in", {"code": api.server.sign_in_code})
    await get("/", headers={"Accept": "text/html"})
    for path in ("/console", "/console/runs", "/console/static/app.js"):
        await get(path, headers={"If-None-Match": (await get(path)).headers["ETag"]})


async def _administer(api):
    who = {"tenant": "acme", "principal": "ci"}
    await api.post("/v1/admin/tenants", {"tenant": "acme"})
    await api.post("/v1/admin/principals", {**who, "grants": ["read:workflow:*"]})
    await api.post("/v1/admin/grants", {**who, "grants": ["execute:workflow:*"]})
    for path in ("tenants", "principals", "principals?tenant=acme", "grants", "grants?principal=ci"):
        await api.get(f"/v1/admin/{path}")
    for _ in range(2):
        await api.http.delete("/v1/admin/grants", params={**who, "grant": "read:workflow:*"})
    for _ in range(2):
        await api.http.delete("/v1/admin/principals", params=who)
    for query in ("", "?limit=1", "?outcome=denied&tenant=default", "?cursor=x"):
        await api.get(f"/v1/audit{query}")


async def _triggers(api):
    get, post, put, delete = api.get, api.post, api.http.put, api.http.delete
    schedule, own = {"workflow_id": "quick", "every": "1h", "input": {"amount": 1}}, "/v1/schedules/quick:own"
    for name in ("kept", "own", "own"):
        await post("/v1/schedules", {**schedule, "name": name})
    await post("/v1/schedules", {**schedule, "name": "x", "cron": "* * * * *"})
    await post("/v1/schedules", {**schedule, "name": "x", "workflow_id": "none"})
    for path in ("/v1/schedules", "/v1/schedules?workflow_id=quick", own):
        await get(path)
    await put(own, json={"cron": "@daily", "input": {"amount": "{scheduled_at}"}})
    await put(own, json={"cron": "often"})
    for act in ("pause", "resume", "trigger"):
        await post(f"{own}/{act}")
    await put(own, json={"every": "15m", "input": {"amount": 2}})
    for path in (own, own, "/v1/schedules/quick:kept"):
        await post(f"{path}/trigger", headers={"Idempotency-Key": "triggered"})
    await delete(own)
    hook, secret = {"workflow_id": "quick", "secret": "s" * 16}, b"s" * 16
    for name in ("kept", "own", "own"):
        await post("/v1/webhooks", {**hook, "name": name})
    await post("/v1/webhooks", {**hook, "name": "x", "delivery": "a b"})
    await post("/v1/webhooks", {**hook, "name": "x", "workflow_id": "none"})
    await get("/v1/webhooks")
    for body in (b'{"amount": 1}', b'{"amount": 1}', b"{}", b"{"):
        await api.http.post("/hooks/own", content=body, headers={"X-Signature": sign(secret, body)})
    await delete("/v1/webhooks/own")
    await _declared(api)


async def _declared(api):
    """What a workflow declares cannot be changed here, and may not take what another has."""
    for version, name in (("v1", "declared"), ("v2", "kept")):
        flow = Workflow("declaring", version=version)
        flow.sleep("nap", 1)
        flow.schedule("s", every="1h")
        flow.webhook(name, secret_env="HOOK_SECRET")
        await api.server.engine.documents.publish("default", flow.compile(), 0)
    await api.http.put("/v1/schedules/declaring:s", json={"every": "2h"})
    await api.http.delete("/v1/schedules/declaring:s")
    await api.http.delete("/v1/webhooks/declared")
    await api.http.put("/v1/workflows/declaring/active", json={"version": "v2"})


async def _publish(api):
    nap = {"name": "nap", "kind": "timer", "delay": 1}
    document = {"workflow_id": "quick", "version": "v2", "nodes": [nap]}
    for body in (document, document, {**document, "output": "nap"}, {**document, "nodes": []}):
        await api.post("/v1/workflows", body)


async def test_every_event_of_the_feed_is_as_described(api, clock, spec):
    """With payloads and without; a page's schema is checked above, here it is that all types came by."""
    page = spec["components"]["schemas"]["EventPage"]["properties"]["events"]["items"]
    validator = jsonschema_rs.validator_for({**page, "components": spec["components"]})
    answered, _ = await api.asked()
    await api.post(f"/v1/runs/{answered}/signals/approval", YES)
    stopped, _ = await api.asked()
    await api.post(f"/v1/runs/{stopped}/cancel", {"reason": "x"}, headers={"traceparent": TRACEPARENT})
    flaky = await api.start("flaky")
    await api.until(flaky, "node_failed")
    await clock.advance(4)
    terminated = await api.start("asking")
    await api.post(f"/v1/runs/{terminated}/terminate")
    seen = set()
    for run_id in (answered, stopped, flaky, terminated):
        await api.until(run_id, "completed", "failed", "cancelled")
        for include in ({}, {"include": "payloads"}):
            answer = await api.get(f"/v1/runs/{run_id}/events", params=include, headers={"Accept": JSON})
            for event in answer.json()["events"]:
                assert [error.message for error in validator.iter_errors(event)] == [], event
                seen.add(event["type"])
    described = {
        spec["components"]["schemas"][one["$ref"].rpartition("/")[2]]["properties"]["type"]["const"]
        for one in page["anyOf"]
    }
    assert seen == described == set(EVENT_TYPES)


async def test_no_shape_lets_an_undeclared_field_through(spec):
    for name, shape in spec["components"]["schemas"].items():
        assert shape["additionalProperties"] is False, name


async def test_a_request_that_is_as_described_is_not_malformed(api, spec):
    """What the schema of a body allows is read, and what it forbids is refused."""
    for path, name, fit, unfit in [
        ("/v1/runs", "StartRun", {"workflow_id": "x", "workflow_version": None}, {"workflow_version": ""}),
        ("/v1/runs", "StartRun", {"workflow_id": "x", "tags": {"a": "b"}, "input": 5}, {"tags": {"a": 1}}),
        ("/v1/tokens", "CreateToken", {"tenant": "t", "principal": "p"}, {"tenant": "", "principal": "p"}),
        ("/v1/runs/x/cancel", "StopRun", {"reason": None}, {"reason": 1}),
        (
            "/v1/runs/batch",
            "StartBatch",
            {"runs": [{"workflow_id": "x"}]},
            {"runs": [{"workflow_id": "x"}] * 1001},
        ),
    ]:
        whole = {"$ref": f"#/components/schemas/{name}", "components": spec["components"]}
        validator = jsonschema_rs.validator_for(whole)
        assert validator.is_valid(fit), fit
        assert not validator.is_valid(unfit), unfit
        run_id = await api.start("asking")
        where = path.replace("/x/", f"/{run_id}/")
        assert (await api.post(where, fit)).status_code != 400, fit
        assert (await api.post(where, unfit)).status_code == 400, unfit
