"""What no history of ours says: finds the first event that the run's state machine cannot have written.

``evolve`` believes what it is told, for its job is to read what is stored. This is the doubter beside it, for
histories that a disk, a hand or an error may have changed. It knows no graph: what a document allows is the
turn's business; what an event allows after those before it is this module's.
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
    """Return why ``event`` cannot follow in a run that is in ``state``; None where it can."""
    if state.end is not None:
        return f"it follows the end of the run, event {state.seq}"
    if event.seq != state.seq + 1:
        return f"event {state.seq + 1} is missing" if event.seq > state.seq else "its seq is taken"
    if state.seq == 0:
        return _not_a_beginning(event)
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


def _not_a_beginning(event: Event) -> str | None:
    if not isinstance(event, StatusChanged) or event.origin is None:
        return "a run begins with status_changed and its origin"
    return None if event.state in ("queued", "running") else f"a run does not begin as {event.state}"


def _wrong_status(state: RunState, event: StatusChanged) -> str | None:
    if event.origin is not None:
        return "a run has one origin"
    if event.state == "queued" and state.state != "queued":
        return f"the run is {state.state} already"
    if event.state == "succeeded" and (state.entries or state.stopping):
        return "the run succeeds with steps open or a reason to stop"
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
        return _wrong_undo(state, event) if entry is None else None
    if event.index is not None and event.address.map_entry not in state.maps:
        return f"{event.address} is an item of a map that is not open"
    return None


def _wrong_undo(state: RunState, event: NodeStarted) -> str | None:
    forward = event.address.forward
    if state.stopping is None:
        return f"{forward} is undone in a run that is not stopping"
    return None if forward in state.completed else f"{forward} is undone, and has not completed"


def _wrong_close(state: RunState, event: NodeCompleted | NodeFailed) -> str | None:
    entry = state.entries.get(event.address)
    if entry is None:
        return f"{event.address} is not open"
    if event.attempt != entry.attempt:
        return f"attempt {event.attempt} of {event.address} ends, and attempt {entry.attempt} is open"
    if isinstance(event, NodeCompleted):
        return _wrong_completion(state, event, entry)
    if event.will_retry != (event.retry_at is not None):
        return "will_retry and retry_at contradict each other"
    return f"{event.address} waits for its next attempt" if event.will_retry and _rests(entry) else None


def _rests(entry: Entry) -> bool:
    return entry.status == "backoff"


def _wrong_completion(state: RunState, event: NodeCompleted, entry: Entry) -> str | None:
    if _rests(entry):
        return f"{event.address} waits for its next attempt"
    return _wrong_signal(state, event.answered_with)


def _wrong_signal(state: RunState, request_id: str | None) -> str | None:
    signals = (signal for kept in state.mailbox.values() for signal in kept)
    if request_id is None or any(signal.request_id == request_id for signal in signals):
        return None
    return f"it was given the signal {request_id}, which is not there"


def _wrong_request(state: RunState, event: InputRequested) -> str | None:
    if event.address in state.entries:
        return f"{event.address} is open already"
    return f"{event.request_id} was announced before" if event.request_id in state.announced else None


def _wrong_answer(state: RunState, event: InputResolved) -> str | None:
    entry = state.entries.get(event.address)
    if entry is None or entry.request is None:
        return f"{event.address} asks nobody"
    if entry.request.request_id != event.request_id:
        return f"{event.request_id} is resolved, and {entry.request.request_id} is open"
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
