"""The description is true to the letter: every route, every code, every field of real answers."""

from __future__ import annotations

import re

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from infraweave import errors
from infraweave.api.app import create_app

YES = {"payload": {"approved": True}}


@pytest.fixture
async def spec(api):
    return (await api.get("/openapi.json")).json()


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
        (method, re.sub(r"<(\w+)>", r"{\1}", rule.rule))
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


async def test_real_answers_are_as_described(api, spec):
    run_id, _ = await api.asked()
    failed, done = await api.ended("failing"), await api.ended()
    token = {"tenant": "default", "principal": "p", "grants": []}
    json_ = {"headers": {"Accept": "application/json"}}
    asks = [
        ("POST", "/v1/runs", "/v1/runs", {"json": {"workflow_id": "quick", "input": {"amount": 1}}}),
        ("POST", "/v1/runs", "/v1/runs", {"json": {"workflow_id": 1}}),
        ("POST", "/v1/runs", "/v1/runs", {"json": {"workflow_id": "quick", "input": {}}}),
        ("GET", "/v1/runs", "/v1/runs", {}),
        ("GET", "/v1/runs", "/v1/runs?limit=0", {}),
        ("GET", "/v1/runs/{run_id}", f"/v1/runs/{run_id}", {}),
        ("GET", "/v1/runs/{run_id}", f"/v1/runs/{failed}", {}),
        ("GET", "/v1/runs/{run_id}", "/v1/runs/none", {}),
        ("GET", "/v1/runs/{run_id}/result", f"/v1/runs/{run_id}/result", {}),
        ("GET", "/v1/runs/{run_id}/result", f"/v1/runs/{done}/result", {}),
        ("GET", "/v1/runs/{run_id}/result", f"/v1/runs/{failed}/result", {}),
        ("GET", "/v1/runs/{run_id}/history", f"/v1/runs/{failed}/history", {}),
        ("GET", "/v1/runs/{run_id}/events", f"/v1/runs/{done}/events", json_),
        ("POST", "/v1/runs/{run_id}/signals/{name}", f"/v1/runs/{run_id}/signals/approval", {"json": {}}),
        ("POST", "/v1/runs/{run_id}/signals/{name}", f"/v1/runs/{run_id}/signals/approval", {"json": YES}),
        ("POST", "/v1/runs/{run_id}/cancel", f"/v1/runs/{done}/cancel", {}),
        ("POST", "/v1/runs/{run_id}/terminate", f"/v1/runs/{done}/terminate", {}),
        ("GET", "/v1/workflows", "/v1/workflows", {}),
        ("GET", "/v1/workflows/{workflow_id}", "/v1/workflows/quick", {}),
        ("GET", "/v1/workflows/{workflow_id}/versions/{version}", "/v1/workflows/quick/versions/v1", {}),
        (
            "PUT",
            "/v1/workflows/{workflow_id}/active",
            "/v1/workflows/quick/active",
            {"json": {"version": "v1"}},
        ),
        ("POST", "/v1/tokens", "/v1/tokens", {"json": token}),
        ("GET", "/v1/tokens", "/v1/tokens", {}),
        ("DELETE", "/v1/tokens/{token_id}", "/v1/tokens/none", {}),
        ("GET", "/v1/whoami", "/v1/whoami", {}),
        ("GET", "/healthz", "/healthz", {}),
        ("GET", "/readyz", "/readyz", {}),
    ]
    for method, path, url, more in asks:
        answer = await api.http.request(method, url, **more)
        described = operations(spec)[method, path]["responses"].get(str(answer.status_code))
        assert described, (method, url, answer.status_code)
        schema = described["content"]["application/json"]["schema"]
        whole = {**schema, "components": spec["components"]}
        faults = [
            f"{e.json_path} {e.message}" for e in Draft202012Validator(whole).iter_errors(answer.json())
        ]
        assert faults == [], (method, url)
        assert_closed(schema, spec)


def assert_closed(schema, spec):
    """Fail where a shape would let an undeclared field through: then the check above would prove nothing."""
    for branch in schema.get("oneOf", [schema]):
        if "$ref" in branch:
            shape = spec["components"]["schemas"][branch["$ref"].rpartition("/")[2]]
            assert shape["additionalProperties"] is False
