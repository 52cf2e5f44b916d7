"""Requests about workflows, triggers, administration and the service itself."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import quote

from tests.bench.recorded.session import NOTHING, Session

SECRET = "a secret of the recording"
_CREATED = 201
_EMPTY_POST = (NOTHING, "Content-Type: application/json")


def make_principals(session: Session) -> None:
    """Create the callers that other requests use, and keep their tokens."""
    session.post("/v1/admin/tenants", {"tenant": "acme"})
    session.post("/v1/admin/tenants", {"tenant": "acme"})
    session.post("/v1/admin/tenants", {"tenant": ""})
    every = [f"{act}:workflow:*" for act in ("read", "execute", "signal", "cancel", "operate", "publish")]
    for name, tenant, grants in (
        ("reader", "default", ["read:workflow:*"]),
        ("runner", "default", ["execute:workflow:*", "operate:workflow:chain"]),
        ("stopper", "default", ["cancel:workflow:*"]),
        ("nobody", "default", []),
        ("narrow", "default", ["read:workflow:chain", "execute:workflow:chain", "publish:workflow:chain"]),
        ("boss", "acme", [*every, "admin:tenant:*"]),
        ("brief", "default", ["read:workflow:*"]),
    ):
        made = session.post("/v1/tokens", {"tenant": tenant, "principal": name, "grants": grants})
        session.tokens[name] = json.loads(made.body)["token"]


def ask_about_access(session: Session) -> None:
    for body in (
        {"tenant": "default", "principal": "timed", "expires": "90d"},
        {"tenant": "default", "principal": "timed", "expires": "soon"},
        {"tenant": "default", "principal": "timed", "expires": "0s"},
        {"tenant": "default", "principal": "timed", "grants": ["fly:workflow:*"]},
        {"tenant": "default", "principal": "timed", "grants": ["read:workflow:no good"]},
        {"tenant": "", "principal": "p" * 129},
    ):
        session.post("/v1/admin/tokens", body)
    session.post("/v1/tokens", {"tenant": "default", "principal": "x"}, by="boss")
    for path in (
        "tokens",
        "admin/tokens",
        "admin/tenants",
        "admin/principals",
        "admin/principals?tenant=acme",
        "admin/principals?tenant=none",
        "admin/grants",
        "admin/grants?tenant=default&principal=reader",
    ):
        session.get(f"/v1/{path}")
        session.get(f"/v1/{path}", by="boss")
    tokens = json.loads(session.get("/v1/tokens").body)["tokens"]
    brief = next(one["token_id"] for one in tokens if one["principal"] == "brief")
    session.ask("DELETE", f"/v1/tokens/{brief}", *_EMPTY_POST, by="boss")
    session.ask("DELETE", f"/v1/tokens/{brief}", *_EMPTY_POST)
    session.get("/v1/whoami", by="brief")
    session.ask("DELETE", f"/v1/admin/tokens/{brief}", *_EMPTY_POST)
    session.ask("DELETE", "/v1/tokens/tok_none", *_EMPTY_POST)
    session.post(
        "/v1/admin/principals", {"tenant": "acme", "principal": "new", "grants": ["read:workflow:*"]}
    )
    session.post("/v1/admin/grants", {"tenant": "acme", "principal": "new", "grants": ["cancel:workflow:a"]})
    session.post("/v1/admin/grants", {"tenant": "acme", "principal": "none", "grants": ["cancel:workflow:a"]})
    for grant in ("cancel:workflow:a", "cancel:workflow:a", "nonsense"):
        session.ask(
            "DELETE", f"/v1/admin/grants?tenant=acme&principal=new&grant={quote(grant)}", *_EMPTY_POST
        )
    for query in (
        "tenant=acme&principal=new",
        "tenant=acme&principal=new",
        "tenant=none&principal=new",
        "tenant=acme",
    ):
        session.ask("DELETE", f"/v1/admin/principals?{query}", *_EMPTY_POST)
    made = json.loads(session.post("/v1/tokens", {"tenant": "default", "principal": "leaver"}).body)["token"]
    session.post("/v1/sign-out", *_EMPTY_POST, by=made)
    session.post("/v1/sign-out", *_EMPTY_POST, by=made)


def ask_about_the_log(session: Session) -> None:
    for query in (
        "outcome=allowed&limit=20",
        "outcome=allowed&action=start_run&limit=5",
        "outcome=denied&principal=nobody&limit=200",
        "principal=boss&outcome=denied&limit=200",
        "tenant=acme&outcome=allowed",
        "principal=none",
        "request_id=mine-1",
        "after=2001-01-01T00:00:00Z&before=2001-01-02T00:00:00Z",
        "before=never",
        "outcome=maybe",
        "limit=0",
        "cursor=x",
        "resource=workflow%3Achain&outcome=allowed&limit=5",
    ):
        session.get(f"/v1/audit?{query}")
    cursor = json.loads(session.get("/v1/audit?outcome=allowed&limit=3").body)["next_cursor"]
    session.get(f"/v1/audit?outcome=allowed&limit=3&cursor={cursor}")
    session.get(f"/v1/audit?outcome=denied&limit=3&cursor={cursor}")
    session.get("/v1/audit?outcome=allowed&limit=5", by="boss")


def ask_about_workflows(session: Session) -> None:
    node = {"name": "only", "kind": "node", "code": "versioned:only"}
    added = {"name": "nap", "kind": "timer", "delay": 1, "after": ["only"]}
    for document in (
        {"workflow_id": "versioned", "version": "v2", "nodes": [node, added]},
        {"workflow_id": "versioned", "version": "v2", "nodes": [node, added]},
        {"workflow_id": "versioned", "version": "v2", "nodes": [node]},
        {"workflow_id": "versioned", "version": "v3", "nodes": []},
        {"workflow_id": "versioned", "version": "v3", "nodes": [{**node, "kind": "magic"}]},
        {"workflow_id": "versioned", "version": "v3", "nodes": [{**node, "code": "none:none"}]},
        {"workflow_id": "versioned", "version": "v3", "nodes": [node, {**added, "after": ["nowhere"]}]},
        {"workflow_id": "versioned", "version": "v3", "nodes": [node, node], "extra": 1},
        {
            "workflow_id": "plain",
            "version": "v1",
            "nodes": [{"name": "nap", "kind": "timer", "delay": 1}],
            "$schema": "x",
        },
    ):
        session.post("/v1/workflows", document)
    session.post("/v1/workflows", {"workflow_id": "chain", "version": "v1", "nodes": [node]}, by="narrow")
    session.post("/v1/workflows", {"workflow_id": "other", "version": "v1", "nodes": [node]}, by="narrow")
    for path in (
        "",
        "/chain",
        "/versioned",
        "/none",
        "/chain/versions/v1",
        "/chain/versions/v1?include=layout",
        "/chain/versions/v9",
        "/chain/versions/v1?include=x",
        "/saga/versions/v1",
        "/parent/versions/v1",
        "/fired/versions/v1",
        "/versioned/diff?from=v1&to=v2",
        "/versioned/diff?from=v1&to=v9",
        "/versioned/diff?from=v1",
        "/versioned/diff?from=&to=v2",
    ):
        session.get(f"/v1/workflows{path}")
        session.get(f"/v1/workflows{path}", by="narrow")
    for body in ({"version": "v2"}, {"version": "v9"}, {"version": 2}, {"version": "v1"}):
        session.ask("PUT", "/v1/workflows/versioned/active", body)
    session.ask("PUT", "/v1/workflows/chain/active", {"version": "v1"}, by="narrow")
    session.ask("PUT", "/v1/workflows/none/active", {"version": "v1"})
    session.get("/v1/schemas/workflow")


def ask_about_triggers(session: Session) -> None:
    _schedules(session)
    _webhooks(session)


def _schedules(session: Session) -> None:
    made = {"workflow_id": "fired", "name": "leap", "cron": "0 0 29 2 *", "input": {"at": "{scheduled_at}"}}
    for body in (
        made,
        made,
        {**made, "name": "both", "every": "15m"},
        {**made, "name": "none", "cron": None},
        {**made, "name": "odd", "cron": "61 * * * *"},
        {**made, "name": "odd", "timezone": "Mars/Olympus"},
        {**made, "name": "odd", "input": {"at": "{nonsense}"}},
        {**made, "name": "odd", "workflow_id": "nothing"},
        {**made, "name": "odd", "overlap": "panic"},
        {
            **made,
            "name": "often",
            "cron": None,
            "every": "15m",
            "anchor": "2099-01-01T00:00:00Z",
            "paused": True,
        },
    ):
        session.post("/v1/schedules", body)
    session.post("/v1/schedules", {**made, "name": "odd"}, by="reader")
    for path in (
        "",
        "?workflow_id=fired",
        "?workflow_id=none",
        "/fired:leap",
        "/fired:often",
        "/fired:yearly",
        "/fired:none",
        "/none",
    ):
        session.get(f"/v1/schedules{path}")
        session.get(f"/v1/schedules{path}", by="reader")
    change = {"every": "2h", "paused": True, "overlap": "queue"}
    session.ask("PUT", "/v1/schedules/fired:leap", change)
    session.ask("PUT", "/v1/schedules/fired:leap", {"every": "x"})
    session.ask("PUT", "/v1/schedules/fired:yearly", change)
    for name in ("yearly", "leap", "none"):
        for act in ("pause", "resume", "pause"):
            session.post(f"/v1/schedules/fired:{name}/{act}", *_EMPTY_POST)
    for key in ("t1", "t1", "t2"):
        found = json.loads(
            session.post("/v1/schedules/fired:yearly/trigger", *_EMPTY_POST, f"Idempotency-Key: {key}").body
        )
        session.get(f"/v1/runs/{found['run_id']}/events")
        session.get(f"/v1/runs/{found['run_id']}")
    session.post("/v1/schedules/fired:yearly/trigger", *_EMPTY_POST, by="reader")
    for name in ("leap", "leap", "yearly"):
        session.ask("DELETE", f"/v1/schedules/fired:{name}", *_EMPTY_POST)


def _webhooks(session: Session) -> None:
    made = {"workflow_id": "fired", "name": "timely", "secret": SECRET, "timestamp_header": "X-Time"}
    for body in (
        made,
        made,
        {**made, "name": "own", "secret": None, "timestamp_header": None},
        {**made, "name": "short", "secret": "short"},
        {**made, "name": "bad name"},
        {**made, "name": "odd", "scheme": "magic"},
        {**made, "name": "odd", "input": "{nothing}"},
        {**made, "name": "odd", "workflow_id": "none"},
        {
            **made,
            "name": "templated",
            "timestamp_header": None,
            "input": {"at": "{body.when}"},
            "delivery": "{body.id}",
        },
    ):
        session.post("/v1/webhooks", body)
    for path in ("", "?workflow_id=none", "?workflow_id=fired"):
        session.get(f"/v1/webhooks{path}")
        session.get(f"/v1/webhooks{path}", by="nobody")
    _deliver(session, "pushed", {"at": 1}, "X-Delivery-Id: d1")
    _deliver(session, "pushed", {"at": 1}, "X-Delivery-Id: d1")
    _deliver(session, "pushed", {"at": 2}, "X-Delivery-Id: d1")
    _deliver(session, "pushed", {"at": 3})
    _deliver(session, "pushed", [1], "X-Delivery-Id: d3")
    _deliver(session, "pushed", {"at": 4}, "X-Signature: sha256=" + "0" * 64)
    _deliver(session, "pushed", {"at": 4}, "X-Signature: nonsense")
    _deliver(session, "templated", {"when": "now", "id": 7})
    _deliver(session, "templated", {"id": 8})
    _deliver(session, "timely", {"at": 5})
    _deliver(session, "none", {"at": 5})
    _deliver(session, "acme:pushed", {"at": 5})
    session.post("/hooks/pushed", b"{", "X-Signature: sha256=" + _signed(b"{"), by=None)
    session.post("/hooks/pushed", {"at": 6}, "Content-Type: text/plain", by=None)
    session.get("/hooks/pushed", by=None)
    session.ask("DELETE", "/v1/webhooks/templated", *_EMPTY_POST, by="reader")
    for name in ("templated", "templated", "pushed"):
        session.ask("DELETE", f"/v1/webhooks/{name}", *_EMPTY_POST)


def _signed(body: bytes) -> str:
    return hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def _deliver(session: Session, name: str, value: Any, *more: str) -> None:
    body = json.dumps(value).encode()
    answer = session.post(f"/hooks/{name}", body, f"X-Signature: sha256={_signed(body)}", *more, by=None)
    if answer.status == _CREATED:
        session.get(f"/v1/runs/{json.loads(answer.body)['run_id']}/events")


def ask_about_the_service(session: Session) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json"):
        session.get(path, by=None)
        session.ask("HEAD", path, by=None)
    for query in (
        "",
        "?workflow_id=chain",
        "?since=2001-01-01T00:00:00Z",
        "?since=x",
        "?workflow_version=v1&workflow_id=saga",
    ):
        session.get(f"/v1/statistics{query}")
    for by in ("admin", "boss", "reader"):
        session.get("/v1/status", by=by)
        session.get("/v1/statistics?workflow_id=none", by=by)
        session.get("/metrics", by=by)
    session.get("/metrics", "Accept: application/json")
    session.get("/metrics", "Accept: text/plain; version=0.0.4")
