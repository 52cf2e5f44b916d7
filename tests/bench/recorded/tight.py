"""Requests to a server with small limits: each one is reached."""

from __future__ import annotations

from pathlib import Path

from tests.bench.recorded.session import Session

LIMITS = (
    "requests_per_second=0",
    "request_burst=45",
    "max_queued=1",
    "max_streams=1",
    "max_body=2000",
    "max_depth=6",
    "max_string=50",
    "max_list=5",
    "max_tags=2",
    "max_tag_key=5",
    "max_tag_value=6",
    "max_output=100",
)


def ask_beyond_limits(session: Session, folder: Path) -> None:
    """Reach each limit, and the rate of requests last."""
    order = {"workflow_id": "chain", "input": {"amount": 1}}
    for body in (
        {**order, "tags": {"a": "b", "c": "d", "e": "f"}},
        {**order, "tags": {"abcdef": "b"}},
        {**order, "tags": {"a": "abcdefg"}},
        {**order, "input": {"amount": 1, "note": "n" * 51}},
        {"workflow_id": "routed", "input": {"amount": [1] * 6}},
        {"workflow_id": "routed", "input": {"amount": [[[[[[1]]]]]]}},
        {**order, "input": {"amount": 1, "note": ["n" * 40] * 60}},
    ):
        session.post("/v1/runs", body)
    session.ended("chain", {"amount": 1})
    held = session.until(session.start("held", {"who": "tight"}), "node_started")
    queued = [session.post("/v1/runs", {"workflow_id": "held", "input": {"who": "tight"}}) for _ in range(3)]
    assert [one.status for one in queued] == [201, 429, 429], queued
    session.post("/v1/runs/batch", {"runs": [{"workflow_id": "held", "input": {"who": "tight"}}]})
    (folder / "tight").touch()
    session.get(f"/v1/runs/{held}/events")
    for _ in range(50):
        if session.get("/v1/whoami").status == 429:
            break
    session.get(f"/v1/runs/{held}")
    session.post("/v1/runs", order)
    session.get(f"/v1/runs/{held}/events")
    session.get("/v1/whoami", by=None)
    session.get("/healthz", by=None)
