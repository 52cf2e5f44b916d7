"""One turn of a run: a fact in, the events that follow from it out.

``turn`` records the events in a fixed order: those that close entries, the change of the run's state, those
that open entries, and the end of the run. A fact about an entry that is no longer open changes nothing. This
module knows no clock and no random numbers, and not who performs the open entries.

While a run goes forward, ready nodes and the next items of maps open. Once it is stopping (it failed or was
cancelled; the first cause wins), it is rolled back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never

from infraweave.core.data.sizes import TooLarge
from infraweave.core.run import binding, readiness
from infraweave.core.run.address import Address
from infraweave.core.run.events import Completed, SignalReceived, StatusChanged
from infraweave.core.run.facts import (
    AppendRejected,
    AttemptFailed,
    AttemptInterrupted,
    AttemptSucceeded,
    CancelRequested,
    ChildEnded,
    ChildReady,
    Fact,
    PreflightFailed,
    PromptReady,
    Recovered,
    RunAccepted,
    SignalAccepted,
    SlotGranted,
    TerminateRequested,
    TimerDue,
    TimerReady,
)
from infraweave.core.run.map_items import close_maps, open_items
from infraweave.core.run.openings import (
    fail_to_open,
    open_entry,
    preflight_retries,
    request_input,
    start_attempt,
    start_due_retries,
    start_timer,
)
from infraweave.core.run.outcomes import child_ended, failed, interrupted, succeeded
from infraweave.core.run.preflight import Preflights
from infraweave.core.run.recorder import IsBlocked, TurnRecorder, TurnResult
from infraweave.core.run.rollback import handle_rejection, rollback, terminate, withdraw_losers
from infraweave.core.run.state import RunState
from infraweave.core.workflow.document import HumanInput
from infraweave.core.workflow.graph import Graph


def never_blocked(_: Address) -> bool:
    """Block no entry."""
    return False


def turn(
    graph: Graph,
    state: RunState,
    fact: Fact,
    now: int,
    is_blocked: IsBlocked = never_blocked,
    in_preflight: Preflights | None = None,
) -> TurnResult:
    """Apply ``fact`` to ``state`` and return the events and preflights that follow from it.

    ``is_blocked``: tells which entries must not open now. ``in_preflight``: the entries whose preflights the
    caller has begun; it is only read here.
    """
    recorder = TurnRecorder(graph, state, now, is_blocked, in_preflight or Preflights())
    if state.end is None:
        _CONSEQUENCES[type(fact)](recorder, fact)
        _advance(recorder)
    return recorder.result


def _run_accepted(recorder: TurnRecorder, fact: RunAccepted) -> None:
    state = "running" if fact.slot else "queued"
    kept = fact.reused
    more = {} if kept is None else {"reused": kept.ran, "skipped": kept.skipped, "results": kept.results}
    recorder.record(
        StatusChanged,
        state=state,
        cause="accepted",
        by=fact.origin.by,
        origin=fact.origin,
        input=fact.input,
        **more,
    )
    recorder.full_scan = fact.slot


def _slot_granted(recorder: TurnRecorder, _: SlotGranted) -> None:
    if recorder.state.state == "queued":
        recorder.record(StatusChanged, state="running", cause="slot_granted")
        recorder.full_scan = True


def _recovered(recorder: TurnRecorder, fact: Recovered) -> None:
    recorder.full_scan = recorder.state.state != "queued"
    for entry in [entry for entry in recorder.state.entries.values() if entry.status == "running"]:
        recorder.interrupt_by_crash(entry)
    _timer_due(recorder, fact)


def _timer_due(recorder: TurnRecorder, _: TimerDue | Recovered) -> None:
    due = [e for e in recorder.state.entries.values() if e.due_at is not None and e.due_at <= recorder.now]
    for entry in sorted(due, key=lambda e: e.due_at or 0):
        if recorder.is_abandoned(entry):
            continue
        if entry.status == "backoff":
            recorder.due_retries.append(entry.address)
        elif entry.signal is not None:
            recorder.expire(entry)
        else:
            recorder.complete(entry, recorder.open_ms(entry))


def _preflight_done(
    recorder: TurnRecorder, fact: PromptReady | TimerReady | ChildReady | PreflightFailed
) -> None:
    if not readiness.may_open(recorder.graph, recorder.state, fact.address):
        return
    entry = recorder.state.entries.get(fact.address)
    if entry is not None and entry.due_at is not None and entry.due_at > recorder.now:
        return  # the clock was set back: the preflight begins anew when the entry is due
    match fact:
        case PromptReady():
            node = recorder.graph.nodes[fact.address.node]
            if isinstance(node, HumanInput):
                request_input(recorder, fact.address, node, fact.prompt, fact.data)
        case TimerReady():
            start_timer(recorder, fact.address, fact.wake_at)
        case ChildReady():
            recorder.child_inputs[fact.address] = fact.input
            if entry is None:
                start_attempt(recorder, fact.address, 1)
            else:
                recorder.due_retries.append(fact.address)
        case PreflightFailed():
            fail_to_open(recorder, fact.address, fact.code, fact.message, fact.traceback)
        case _:
            assert_never(fact)


def _signal_accepted(recorder: TurnRecorder, fact: SignalAccepted) -> None:
    entry = recorder.state.request(fact.request_id) or recorder.state.oldest_wait(fact.name)
    signal = recorder.record(
        SignalReceived,
        name=fact.name,
        request_id=fact.request_id,
        by=fact.by,
        link=fact.link,
        payload=fact.payload,
    )
    if entry is not None:
        recorder.receive(entry, signal)


def _cancel_requested(recorder: TurnRecorder, fact: CancelRequested) -> None:
    if not recorder.state.cancel_requested:
        recorder.record(
            StatusChanged,
            state=recorder.state.state,
            cause="cancel_requested",
            cancel_requested=True,
            by=fact.by,
            reason=fact.reason,
            link=fact.link,
        )


def _advance(recorder: TurnRecorder) -> None:
    state = recorder.state
    if state.end is not None or not (recorder.result.events or recorder.due_retries or recorder.full_scan):
        return
    if state.stopping is not None:
        rollback(recorder)
    elif state.state != "queued":
        _go_forward(recorder)


def _go_forward(recorder: TurnRecorder) -> None:
    # Each step is skipped where it has nothing to do: nearly every turn closes one entry and opens the next.
    state, ready = recorder.state, _ready(recorder)
    if recorder.due_retries:
        recorder.check_due_retries()
        preflight_retries(recorder)
    if state.backing_off or state.state != "running":
        recorder.update_status()
    if recorder.due_retries:
        start_due_retries(recorder)
    while (ready or recorder.advanced_maps) and state.stopping is None:
        if recorder.advanced_maps:
            open_items(recorder)
        for address in ready:
            if state.stopping is None:
                open_entry(recorder, address)
        ready = _ready(recorder)
    if state.stopping is not None:  # an entry failed to open
        rollback(recorder)
    elif not state.entries and len(state.settled) == len(recorder.graph.nodes):
        _succeed(recorder)
    elif recorder.graph.races:
        recorder.update_status()  # a race that ended meanwhile may have withdrawn a retry


def _succeed(recorder: TurnRecorder) -> None:
    try:
        result = binding.run_result(recorder.graph, recorder.state)
    except TooLarge as error:
        reason = f"The run's result is too large: together, {error}"
        recorder.record(StatusChanged, state=recorder.state.state, cause="result_too_large", reason=reason)
        rollback(recorder)
        return
    recorder.record(StatusChanged, state="succeeded", cause="all_nodes_settled")
    recorder.record(Completed, result=result)


def _ready(recorder: TurnRecorder) -> list[Address]:
    """Close the maps and losers that can close, and return the entries that can open then."""
    graph, state = recorder.graph, recorder.state
    if recorder.full_scan:
        recorder.advanced_maps += state.maps
    if recorder.advanced_maps:
        close_maps(recorder)
    if graph.races:
        withdraw_losers(recorder)
    if recorder.full_scan:
        names = readiness.all_ready(graph, state)
    elif recorder.newly_settled or recorder.reset:
        names = readiness.ready(graph, state, recorder.newly_settled, recorder.reset)
    else:
        return []
    recorder.full_scan, recorder.newly_settled, recorder.reset = False, [], []
    if not names:
        return []
    return recorder.defer_blocked(readiness.entries_of(graph, state, names))


#: What each fact changes: a table, as every result of every attempt comes by.
_CONSEQUENCES: dict[type[Fact], Callable[[TurnRecorder, Any], None]] = {
    RunAccepted: _run_accepted,
    SlotGranted: _slot_granted,
    Recovered: _recovered,
    TimerDue: _timer_due,
    AttemptSucceeded: succeeded,
    AttemptFailed: failed,
    AttemptInterrupted: interrupted,
    ChildEnded: child_ended,
    PromptReady: _preflight_done,
    TimerReady: _preflight_done,
    ChildReady: _preflight_done,
    PreflightFailed: _preflight_done,
    SignalAccepted: _signal_accepted,
    CancelRequested: _cancel_requested,
    TerminateRequested: terminate,
    AppendRejected: handle_rejection,
}
