"""The invariants of a history: which event can follow the events before it.

``evolve`` trusts stored events. This module checks them, because a disk fault, an edit or a bug may have
changed a history. It knows no graph, so it does not check what the document of the workflow allows.
"""

from __future__ import annotations

from typing import assert_never

from infraweave.core.run.entries import Entry
from infraweave.core.run.events import (
    TERMINAL_STATES,
    Cancelled,
    Completed,
    Event,
    Failed,
    InputRequested,
    InputResolved,
    NodeCompleted,
    NodeFailed,
    NodeStarted,
    SignalReceived,
    StatusChanged,
    Terminal,
)
from infraweave.core.run.state import RunState


def violation(state: RunState, event: Event) -> str | None:
    """Return why ``event`` cannot follow in a run with this ``state``, or None if it can."""
    if state.end is not None:
        return f"it follows the end of the run, event {state.seq}"
    if event.seq != state.seq + 1:
        return f"event {state.seq + 1} is missing" if event.seq > state.seq else "its seq is taken"
    if state.seq == 0:
        return _wrong_beginning(event)
    if state.state in TERMINAL_STATES and not isinstance(event, Completed | Failed | Cancelled):
        return f"the run is {state.state}, and only its end can follow"
    match event:
        case StatusChanged():
            return _wrong_status(state, event)
        case NodeStarted():
            return _wrong_start(state, event)
        case NodeCompleted() | NodeFailed():
            return _wrong_close(state, event)
        case InputRequested():
            return _wrong_request(state, event)
        case InputResolved():
            return _wrong_answer(state, event)
        case SignalReceived():
            taken = event.request_id in state.delivered
            return f"the signal {event.request_id} was received before" if taken else None
        case Completed() | Failed() | Cancelled():
            return _wrong_end(state, event)
        case _:
            assert_never(event)


def _wrong_beginning(event: Event) -> str | None:
    if not isinstance(event, StatusChanged) or event.origin is None:
        return "a run begins with status_changed and its origin"
    return None if event.state in ("queued", "running") else f"a run does not begin as {event.state}"


def _wrong_status(state: RunState, event: StatusChanged) -> str | None:
    if event.origin is not None:
        return "a run has one origin"
    if event.state == "queued" and state.state != "queued":
        return f"the run is {state.state} already"
    if event.state == "succeeded" and (state.entries or state.stopping):
        return "the run succeeds with open entries or a reason to stop"
    return None


def _wrong_start(state: RunState, event: NodeStarted) -> str | None:
    entry = state.entries.get(event.address)
    if state.state == "queued":
        return "the run is queued"
    if entry is not None and entry.status != "backoff":
        return f"{event.address} is open already"
    before = 0 if entry is None else entry.attempt
    if event.attempt != before + 1:
        return f"attempt {event.attempt} of {event.address} follows attempt {before}"
    if event.phase == "compensation":
        return _wrong_compensation(state, event) if entry is None else None
    if event.index is not None and event.address.map_entry not in state.maps:
        return f"{event.address} is an item of a map that is not open"
    return None


def _wrong_compensation(state: RunState, event: NodeStarted) -> str | None:
    forward = event.address.forward
    if state.stopping is None:
        return f"{forward} is compensated in a run that is not stopping"
    return None if forward in state.completed else f"{forward} is compensated, but has not completed"


def _wrong_close(state: RunState, event: NodeCompleted | NodeFailed) -> str | None:
    entry = state.entries.get(event.address)
    if entry is None:
        return f"{event.address} is not open"
    if event.attempt != entry.attempt:
        return f"attempt {event.attempt} of {event.address} ends, but attempt {entry.attempt} is open"
    if isinstance(event, NodeCompleted):
        return _wrong_completion(state, event, entry)
    if event.will_retry != (event.retry_at is not None):
        return "will_retry and retry_at contradict each other"
    waits = event.will_retry and entry.status == "backoff"
    return f"{event.address} waits for its next attempt" if waits else None


def _wrong_completion(state: RunState, event: NodeCompleted, entry: Entry) -> str | None:
    if entry.status == "backoff":
        return f"{event.address} waits for its next attempt"
    return _wrong_signal(state, event.answered_with)


def _wrong_signal(state: RunState, request_id: str | None) -> str | None:
    signals = (signal for kept in state.mailbox.values() for signal in kept)
    if request_id is None or any(signal.request_id == request_id for signal in signals):
        return None
    return f"it consumes the signal {request_id}, which is not in the mailbox"


def _wrong_request(state: RunState, event: InputRequested) -> str | None:
    if event.address in state.entries:
        return f"{event.address} is open already"
    return f"{event.request_id} was announced before" if event.request_id in state.announced else None


def _wrong_answer(state: RunState, event: InputResolved) -> str | None:
    entry = state.entries.get(event.address)
    if entry is None or entry.request is None:
        return f"{event.address} has no open input request"
    if entry.request.request_id != event.request_id:
        return f"{event.request_id} is resolved, but {entry.request.request_id} is open"
    return _wrong_signal(state, event.answered_with)


def _wrong_end(state: RunState, event: Terminal) -> str | None:
    expected = {"completed": "succeeded"}.get(event.type, event.type)
    if state.state != expected:
        return f"{event.type} ends a run that is {state.state}"
    if isinstance(event, Completed):
        return None
    if state.stopping is None:
        return f"{event.type} ends a run without a reason"
    return f"{next(iter(state.entries))} is still open" if state.entries else None
