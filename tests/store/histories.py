"""Made-up histories for the store, which does not care whether they make sense."""

from __future__ import annotations

from infraweave.core.run.events import (
    Cancelled,
    Completed,
    Event,
    Failed,
    InputRequested,
    InputResolved,
    NodeCompleted,
    NodeStarted,
    Origin,
    RunError,
    StatusChanged,
)
from infraweave.store.journal import RunAppend
from infraweave.store.projection import UNCHANGED


def origin(**changes):
    values = {
        "workflow_id": "tea",
        "workflow_version": "v1",
        "trigger": "api",
        "tenant": "default",
        "by": "ada",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }
    return Origin(**{**values, **changes})


def opening(at=1000, state="running", **changes) -> list[Event]:
    return [
        StatusChanged(
            seq=1, at=at, state=state, cause="accepted", origin=origin(**changes), input={"cups": 2}
        )
    ]


def status(seq, state, at=1100, **changes) -> StatusChanged:
    return StatusChanged(seq=seq, at=at, state=state, cause="slot_granted", **changes)


def steps(seq, count, at=1200) -> list[Event]:
    """``count`` events from ``seq`` on: a node that starts and completes, over and over."""
    return [
        NodeStarted(seq=number, at=at, node="boil", attempt=1, input={"water": number})
        if number % 2 == 0
        else NodeCompleted(seq=number, at=at, node="boil", attempt=1, latency_ms=5, output="hot — 熱い")
        for number in range(seq, seq + count)
    ]


def asking(seq, at=1500, **more) -> InputRequested:
    """A person is asked, under a request_id made of ``seq``."""
    return InputRequested(
        seq=seq, at=at, node="boil", request_id=f"inp_{seq}", signal="boil", prompt="Hot?", schema={}, **more
    )


def answering(seq, asked, at=1600, outcome="answered") -> InputResolved:
    """The request of event ``asked`` is resolved."""
    return InputResolved(seq=seq, at=at, node="boil", request_id=f"inp_{asked}", outcome=outcome)


def success(seq, at=2000) -> list[Event]:
    return [status(seq, "succeeded", at), Completed(seq=seq + 1, at=at, result={"tea": True})]


def failure(seq, at=2000) -> list[Event]:
    error = RunError(code="no_water", message="The tap is dry.", node="boil", attempt=3)
    return [status(seq, "failed", at), Failed(seq=seq + 1, at=at, error=error, compensated=("boil",))]


def termination(seq, at=2000) -> list[Event]:
    error = RunError(code="cancelled", message="Terminated.")
    return [
        status(seq, "cancelled", at, cancel_requested=True),
        Cancelled(seq=seq + 1, at=at, error=error, forced=True),
    ]


def entry(run_key, events, due_at=UNCHANGED) -> RunAppend:
    return RunAppend(run_key, f"run_{run_key}", events, due_at)
