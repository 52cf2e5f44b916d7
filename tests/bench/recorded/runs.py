"""Requests about runs: starting, reading, stopping, answering and repeating them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.bench.recorded.session import NOTHING, Session

_TRACE = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_TRACES = (
    _TRACE,
    "traceparent: cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-more",
    "traceparent: ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01",
    "traceparent: nonsense",
)
_ORDER = {"amount": 7}


def ask_about_runs(session: Session, folder: Path, upstream: str) -> None:
    ended = [session.ended(name, given) for name, given in _ENDING]
    ended += _calls(session, upstream)
    for run_id in ended:
        _read(session, run_id)
    _starts(session)
    _headers_of_starts(session)
    _batches(session)
    _answers(session, folder)
    _timers(session)
    _lanes(session, folder)
    _reruns(session, *ended[:4])
    _feeds(session, ended[0], ended[3])
    _lists(session, ended[0])


_ENDING: tuple[tuple[str, object], ...] = (
    ("chain", _ORDER),
    ("fan", None),
    ("shaky", None),
    ("saga", _ORDER),
    ("routed", {"amount": 5}),
    ("routed", {"amount": 500}),
    ("looped", None),
    ("mapped", None),
    ("mapped", {"count": 0}),
    ("mapped", {"count": "many"}),
    ("parent", None),
    ("race", None),
    ("late", None),
    ("gone", None),
    ("wrong", None),
    ("fired", {"at": "now"}),
)


def _calls(session: Session, upstream: str) -> list[str]:
    document = {
        "workflow_id": "calling",
        "version": "v1",
        "nodes": [
            {
                "name": "call",
                "kind": "http",
                "params": [{"name": "input", "source": "input"}],
                "request": {
                    "method": "POST",
                    "url": "{input.base}/{input.path}",
                    "body": {"of": "{input.path}"},
                },
                "retry": {"max_attempts": 2, "initial": 0.01, "jitter": False},
            },
            {
                "name": "price",
                "kind": "node",
                "expression": "{'total': double(call.price) * 1.5}",
                "params": [{"name": "call", "source": "call"}],
            },
        ],
    }
    session.post("/v1/workflows?activate=true", document)
    return [
        session.ended("calling", {"base": upstream, "path": path}) for path in ("fine", "absent", "broken")
    ]


def _read(session: Session, run_id: str) -> None:
    base = f"/v1/runs/{run_id}"
    for path in ("", "/result", "/explain", "/history"):
        session.get(base + path)
    session.get(f"{base}/events?include=payloads", "Accept: application/json")
    session.get(f"{base}/events?include=payloads&after=2")
    session.get(f"{base}/history?limit=2")


def _starts(session: Session) -> None:
    for body in (
        {"workflow_id": "chain"},
        {"workflow_id": "chain", "input": {"amount": "x", "nota": 1}},
        {"workflow_id": "chain", "input": [1]},
        {"workflow_id": "chain", "input": None},
        {"workflow_id": "none"},
        {"workflow_id": "bad id!"},
        {"workflow_id": "chain", "workflow_version": "v9"},
        {"workflow_id": "chain", "workflow_version": ""},
        {"workflow_id": "chain", "input": _ORDER, "tags": {"a": 1}},
        {"workflow_id": "chain", "input": _ORDER, "tags": {"": "x"}},
        {"workflow_id": "chain", "input": _ORDER, "tags": {str(place): "v" for place in range(65)}},
        {"workflow_id": "chain", "input": _ORDER, "tags": {"k" * 129: "v"}},
        {"workflow_id": "chain", "input": _ORDER, "tags": {"k": "v" * 1025}},
        {"workflow_id": "chain", "input": _ORDER, "start_at": "tomorrow"},
        {"workflow_id": "chain", "input": _ORDER, "start_at": "9999-12-31T23:59:59.999Z"},
        {"workflow_id": "chain", "input": _ORDER, "start_at": "2099-01-01T00:00:00+14:00"},
        {"workflow_id": "chain", "input": _ORDER, "start_at": 5},
        {"workflow_idd": "chain", "inputs": {}},
        {"workflow_id": "chain", "input": {"amount": 2**63}},
        {"workflow_id": "chain", "input": {"amount": 1e400}},
    ):
        session.post("/v1/runs", body)
    for by in ("reader", "nobody", "narrow", "boss"):
        session.post("/v1/runs", {"workflow_id": "routed", "input": _ORDER}, by=by)
    session.post("/v1/runs", {"workflow_id": "none"}, by="nobody")
    later = session.start(
        "chain", _ORDER, start_at="2099-01-01T00:00:00Z", tags={"when": "later", "a:b%": "c"}
    )
    _read(session, later)
    session.post(
        "/v1/runs",
        {"workflow_id": "chain", "input": _ORDER, "start_at": "2001-01-01T00:00:00Z"},
        "Prefer: wait=20",
    )
    run_id = json.loads(
        session.post(
            "/v1/runs", {"workflow_id": "chain", "input": _ORDER}, "Prefer: wait=20", by="runner"
        ).body
    )["run_id"]
    session.get(f"/v1/runs/{run_id}", by="runner")
    session.get(f"/v1/runs/{run_id}", by="narrow")
    session.get(f"/v1/runs/{run_id}", by="boss")


def _headers_of_starts(session: Session) -> None:
    for lines in [(line,) for line in _TRACES] + [
        (_TRACE, "tracestate: a=1,b=2"),
        (_TRACE, "tracestate: a=1", "tracestate: c=3"),
        (_TRACE, "tracestate: not valid"),
        (_TRACE, _TRACE),
        ("tracestate: a=1",),
    ]:
        run_id = session.ended("routed", _ORDER, *lines)
        session.get(f"/v1/runs/{run_id}")
    for key in ("one", "one", "k" * 255, "k" * 256, "with space", "ü", ""):
        session.post(
            "/v1/runs",
            {"workflow_id": "routed", "input": _ORDER},
            f"Idempotency-Key: {key} ",
            "Prefer: wait=20",
        )
    session.post("/v1/runs", {"workflow_id": "routed", "input": {"amount": 8}}, "Idempotency-Key: one")
    session.post("/v1/runs", {"input": {"amount": 7.0}, "workflow_id": "routed"}, "Idempotency-Key: one")
    session.post(
        "/v1/runs", {"workflow_id": "routed", "input": _ORDER}, "Idempotency-Key: a", "Idempotency-Key: b"
    )
    for prefer in (
        "wait=0",
        "wait=-1",
        "wait=x",
        "respond-async, wait=20",
        'wait="20"',
        "wait=99999999999",
        "WAIT=20",
        "wait",
    ):
        if prefer not in ("wait=0", "wait=-1", "wait=x", "wait=99999999999", "wait"):
            session.post("/v1/runs", {"workflow_id": "routed", "input": _ORDER}, f"Prefer: {prefer}")
        session.post(
            "/v1/runs", {"workflow_id": "routed", "start_at": "2099-01-01T00:00:00Z"}, f"Prefer: {prefer}x"
        )
    for trigger in ("cli", "console", "schedule", "nonsense", ""):
        session.post(
            "/v1/runs",
            {"workflow_id": "routed", "input": _ORDER},
            f"X-Infraweave-Trigger: {trigger} ",
            "Prefer: wait=20",
        )


def _batches(session: Session) -> None:
    good = {"workflow_id": "routed", "input": _ORDER, "start_at": "2099-01-01T00:00:00Z"}
    for body in (
        {"runs": []},
        {"runs": {}},
        {"runs": [good, {"workflow_id": "none"}, 7, {"workflow_id": "chain"}, {**good, "nope": 1}]},
        {"runs": [{**good, "idempotency_key": "batch"}, {**good, "idempotency_key": "batch"}]},
        {"runs": [{**good, "idempotency_key": "batch", "tags": {"a": "b"}}, {**good, "idempotency_key": ""}]},
        {"runs": [good] * 1001},
        {"runs": [{**good, "start_at": "never"}]},
    ):
        session.post("/v1/runs/batch", body)
    session.post("/v1/runs/batch", {"runs": [good, {"workflow_id": "chain", "input": _ORDER}]}, by="narrow")
    session.post("/v1/runs/batch", {"runs": [good]}, by="reader")
    session.post("/v1/runs/batch", {"runs": [good]}, _TRACE, "X-Infraweave-Trigger: console")


def _answers(session: Session, folder: Path) -> None:
    asked = [session.until(session.start("asking", _ORDER), "input_requested") for _ in range(4)]
    for path in (
        "/v1/input-requests",
        "/v1/input-requests?workflow_id=none",
        "/v1/input-requests?limit=2",
        "/v1/input-requests?limit=0",
    ):
        session.get(path)
    session.get("/v1/input-requests", by="nobody")
    page = json.loads(session.get("/v1/input-requests?limit=3").body)
    session.get(f"/v1/input-requests?limit=3&cursor={page['next_cursor']}")
    own = {one["run_id"]: one["request_id"] for one in page["input_requests"]}
    signal = f"/v1/runs/{asked[0]}/signals"
    for path in ("", "/result", "/explain", "/history", "/events?wait=0&after=99", "/events?after=x"):
        session.get(f"/v1/runs/{asked[0]}{path}", "Accept: application/json")
    for name, body in (
        ("approval", {"payload": {"approved": "maybe", "why": 1}}),
        ("approval", {"payload": None}),
        ("approval", {"payload": {"approved": True}, "request_id": ""}),
        ("approval", {"payload": {"approved": True}, "request_id": "r" * 256}),
        ("aproval", {"payload": {"approved": True}}),
        ("prepare", {}),
        ("approval", {"payload": {"approved": True}, "request_id": own[asked[1]]}),
        ("approval", {"payload": {"approved": True}, "request_id": own[asked[0]]}),
    ):
        session.post(f"{signal}/{name}", body, _TRACE)
    session.get(f"/v1/runs/{asked[0]}/events")
    for body in (
        {"payload": {"approved": True}, "request_id": own[asked[0]]},
        {"payload": {"approved": False}, "request_id": own[asked[0]]},
        {"payload": {"approved": True}, "request_id": "new"},
    ):
        session.post(f"{signal}/approval", body)
    session.post(f"/v1/runs/{asked[1]}/signals/approval", {"payload": {"approved": True}}, by="runner")
    session.post(f"/v1/runs/{asked[1]}/signals/approval", NOTHING)
    _stops(session, folder, asked)
    _letters(session)


def _letters(session: Session) -> None:
    mail = session.start("mail")
    for name, body in (
        ("parcel", {"payload": [1], "request_id": "early"}),
        ("parcel", {"payload": [1], "request_id": "early"}),
        ("letter", {"payload": {}}),
        ("letter", {"payload": {"text": "hello"}, "request_id": "l1"}),
    ):
        session.post(f"/v1/runs/{mail}/signals/{name}", body)
    session.get(f"/v1/runs/{mail}/events")
    session.post(f"/v1/runs/{mail}/signals/letter", {"payload": {"text": "hello"}, "request_id": "l1"})
    session.post(f"/v1/runs/{mail}/signals/letter", {"payload": {"text": "again"}})
    _read(session, mail)


def _stops(session: Session, folder: Path, asked: list[str]) -> None:
    cancelled, forced, other = asked[1], asked[2], asked[3]
    session.post(f"/v1/runs/{cancelled}/cancel", {"reason": "r" * 2001})
    session.post(f"/v1/runs/{cancelled}/cancel", {"reason": "no more ü"}, _TRACE)
    session.until(cancelled, "node_started")
    session.post(f"/v1/runs/{cancelled}/cancel", NOTHING, "Content-Type: application/json")
    session.post(f"/v1/runs/{cancelled}/signals/approval", {"payload": {"approved": True}})
    session.get(f"/v1/runs/{cancelled}/explain")
    (folder / "undo").touch()
    session.get(f"/v1/runs/{cancelled}/events")
    session.post(f"/v1/runs/{cancelled}/cancel", {})
    session.post(f"/v1/runs/{cancelled}/terminate", {})
    _read(session, cancelled)
    session.post(f"/v1/runs/{forced}/terminate", {"reason": "now"}, by="runner")
    session.post(f"/v1/runs/{forced}/terminate", {"reason": "now"})
    session.post(f"/v1/runs/{forced}/terminate", {"reason": "again"})
    session.post(f"/v1/runs/{forced}/signals/approval", {"payload": {"approved": True}})
    session.post(f"/v1/runs/{forced}/resume", NOTHING, "Content-Type: application/json")
    _read(session, forced)
    (folder / "undo").unlink()
    session.post(f"/v1/runs/{other}/cancel", {}, by="stopper")
    (folder / "undo").touch()
    session.get(f"/v1/runs/{other}/events")


def _timers(session: Session) -> None:
    timed = session.start("timed")
    session.until(timed, "node_completed")
    for path in ("", "/explain", "/history?state=running", "/history?state=succeeded"):
        session.get(f"/v1/runs/{timed}{path}")
    session.post(f"/v1/runs/{timed}/cancel", {})
    session.get(f"/v1/runs/{timed}/events")


def _lanes(session: Session, folder: Path) -> None:
    held = [session.start("held", {"who": "held"}) for _ in range(2)]
    session.until(held[0], "node_started")
    for run_id in held:
        session.get(f"/v1/runs/{run_id}")
        session.get(f"/v1/runs/{run_id}/explain")
        session.get(f"/v1/runs/{run_id}/result")
    session.get("/v1/status")
    session.post("/v1/runs", {"workflow_id": "held", "input": {}})
    (folder / "held").touch()
    for run_id in held:
        session.get(f"/v1/runs/{run_id}/events")
    full = session.until(session.start("full"), "node_started")
    session.post("/v1/runs", {"workflow_id": "full"})
    session.post("/v1/runs/batch", {"runs": [{"workflow_id": "full"}]})
    (folder / "full").touch()
    session.get(f"/v1/runs/{full}/events")


def _reruns(session: Session, chain: str, fan: str, shaky: str, saga: str) -> None:
    for run_id, body in (
        (chain, {"dry_run": True}),
        (chain, {"dry_run": True, "from_node": "second", "input": {"note": None}}),
        (chain, {"from_node": "none"}),
        (chain, {"version": "v9"}),
        (chain, {"input": {"amount": "x"}}),
        (chain, {"input": 5}),
        (fan, {"from_node": "joined"}),
        (saga, {"from_node": "pay", "dry_run": True}),
        (shaky, {}),
    ):
        session.post(f"/v1/runs/{run_id}/rerun", body, "Prefer: wait=20")
    session.post(
        f"/v1/runs/{chain}/rerun", {"from_node": "third"}, "Prefer: wait=20", "Idempotency-Key: rerun"
    )
    again = json.loads(
        session.post(f"/v1/runs/{chain}/rerun", {"from_node": "third"}, "Idempotency-Key: rerun").body
    )
    session.post(f"/v1/runs/{chain}/rerun", {"from_node": "second"}, "Idempotency-Key: rerun")
    _read(session, again["run_id"])
    session.post(f"/v1/runs/{chain}/rerun", {"dry_run": True}, by="reader")
    session.post(f"/v1/runs/{chain}/rerun", {"dry_run": True}, by="runner")
    open_run = session.until(session.start("asking", _ORDER), "input_requested")
    session.post(f"/v1/runs/{open_run}/rerun", {})
    session.post(f"/v1/runs/{open_run}/resume", NOTHING, "Content-Type: application/json")


def _feeds(session: Session, chain: str, saga: str) -> None:
    base = f"/v1/runs/{chain}/events"
    for last in ("0", "3", "9", "11", "12", "99", "-1", "x", "", "1.0", "9" * 25):
        session.get(base, f"Last-Event-ID: {last} ")
        session.get(f"{base}?after={last}")
        session.get(f"{base}?after={last}", "Accept: application/json")
    for query in (
        "limit=2",
        "limit=2&after=3",
        "limit=0",
        "limit=1001",
        "include=payloads&limit=3",
        "include=all",
        "wait=61",
        "wait=-1",
        "wait=1",
    ):
        session.get(f"{base}?{query}", "Accept: application/json")
        session.get(f"{base}?{query}")
    for accept in (
        "text/event-stream",
        "*/*",
        "text/*",
        "application/json, text/event-stream;q=0.5",
        "text/html",
        "text/event-stream;q=0",
    ):
        session.get(f"/v1/runs/{saga}/events", f"Accept: {accept}")
    session.get(base, "Last-Event-ID: 2", "Last-Event-ID: 5")
    session.get(f"{base}?after=5", "Last-Event-ID: 2")
    for by in ("reader", "nobody", "boss", None):
        session.get(base, by=by)
    session.ask("HEAD", f"{base}?limit=0")


def _lists(session: Session, run_id: str) -> None:
    for query in (
        "",
        "status=failed",
        "status=failed,cancelled,succeeded",
        "status=",
        "status=lost",
        "status=queued&limit=2",
        "workflow_id=chain",
        "workflow_id=none",
        "workflow_version=v1&workflow_id=saga",
        "trigger=cli",
        "trigger=subworkflow",
        "trigger=wind",
        "tag=when:later",
        "tag=a%253Ab%2525:c",
        "tag=nothing",
        "tag=:x",
        "started_after=2001-01-01T00:00:00Z&limit=3",
        "started_before=2001-01-01T00:00:00Z",
        "started_after=yesterday",
        "parent_run_id=none&limit=2",
        "parent_run_id=" + run_id,
        "parent_run_id=x",
        "limit=1",
        "limit=200",
        "limit=0",
        "limit=201",
        "limit=x",
        "cursor=x",
        "cursor=" + "A" * 32,
    ):
        session.get(f"/v1/runs?{query}")
        if "limit" not in query and "cursor" not in query and not query.startswith("status"):
            session.get(f"/v1/runs/counts?{query}")
    for kind, path in (("runs", "/v1/runs?limit=20"), ("history", f"/v1/runs/{run_id}/history?limit=1")):
        cursor = "start"
        for _ in range(4):
            found = json.loads(session.get(path if cursor == "start" else f"{path}&cursor={cursor}").body)
            cursor = found["next_cursor"]
            if cursor is None:
                break
            session.get(f"/v1/{'workflows' if kind == 'runs' else 'runs'}?cursor={cursor}")
            session.get(f"/v1/runs?limit=20&cursor={cursor}", by="boss")
    for by in ("reader", "nobody", "narrow", "boss"):
        session.get("/v1/runs?limit=3", by=by)
        session.get("/v1/runs/counts", by=by)
    for query in (
        "node=second",
        "node=none",
        "iteration=1",
        "iteration=0",
        "index=0",
        "state=failed",
        "state=lost",
        "limit=1001",
    ):
        session.get(f"/v1/runs/{run_id}/history?{query}")
