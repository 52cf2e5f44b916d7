"""How a run stops: waits are withdrawn, what is in flight is awaited, completed nodes are undone, it ends.

Nodes are undone one at a time in reverse order of completion. One that cannot be undone does not stop the
others. A terminated run skips all of that.
"""

from __future__ import annotations

from infraweave.core.run.address import Address
from infraweave.core.run.entries import Entry
from infraweave.core.run.events import Cancelled, Failed, NodeStarted, StatusChanged
from infraweave.core.run.facts import AppendRejected, TerminateRequested
from infraweave.core.run.openings import start_attempt, start_due_retries
from infraweave.core.run.recorder import TurnRecorder
from infraweave.core.run.state import RunState
from infraweave.core.workflow.graph import Graph


def rollback(recorder: TurnRecorder) -> None:
    """Take a stopping run one step further."""
    state = recorder.state
    withdraw_waiting(recorder, _may_wait(recorder))
    # What was due to be tried again has been withdrawn too, where it belongs to the part that is given up.
    recorder.due_retries = recorder.defer_blocked(
        [address for address in recorder.due_retries if address in state.entries]
    )
    if state.state != "queued":
        recorder.update_status()
    start_due_retries(recorder)
    if not state.entries:
        _compensate_next(recorder)


def _may_wait(recorder: TurnRecorder) -> list[Entry]:
    """Return the forward entries among which some may wait.

    Once a run is stopping nothing begins to wait any more, and only a map whose last item ends is left to be
    closed: to go over all that is in flight for each that ends would take the square of it.
    """
    entries = recorder.state.entries
    if recorder.was_stopping and not recorder.full_scan:
        return [entries[address] for address in dict.fromkeys(recorder.advanced_maps) if address in entries]
    return [entry for entry in entries.values() if entry.address.phase == "forward"]


def withdraw_waiting(recorder: TurnRecorder, entries: list[Entry]) -> None:
    """Close what waits; bodies and children that are being stopped end by themselves, and maps after them."""
    state = recorder.state
    for entry in entries:
        if entry.status != "running" and entry.child_run_id is None and entry.address not in state.maps:
            recorder.withdraw(entry)
    for entry in entries:
        if entry.address in state.maps and not state.maps[entry.address].open:
            recorder.withdraw(entry)


def withdraw_losers(recorder: TurnRecorder) -> None:
    """Close what waits of the nodes that have lost a race."""
    withdraw_waiting(
        recorder, [entry for entry in recorder.state.entries.values() if recorder.has_lost(entry)]
    )


def terminate(recorder: TurnRecorder, fact: TerminateRequested) -> None:
    """End the run at once: everything open is closed, nothing is undone."""
    state = recorder.state
    for entry in sorted(state.entries.values(), key=lambda entry: entry.address in state.maps):
        recorder.withdraw(entry, "the run was terminated")
    not_undone = [
        str(address) for address in reversed(state.done) if recorder.graph.compensation(address.node)
    ]
    recorder.record(
        StatusChanged, state="cancelled", cause="terminated", by=fact.by, reason=fact.reason, link=fact.link
    )
    _end(recorder, [*state.not_compensated, *not_undone])


def handle_rejection(recorder: TurnRecorder, fact: AppendRejected) -> None:
    """Fail what led to something that cannot be stored: its entry, the run, or what is to be undone next.

    The caller holds everything back meanwhile, so that none of it is tried again in the same commit.
    """
    state = recorder.state
    entry = None if fact.address is None else state.entries.get(fact.address)
    undo = next_compensation(recorder.graph, state)
    if entry is not None and entry.request is None:
        recorder.fail_permanently(entry, "unstorable", fact.message, recorder.open_ms(entry))
    elif state.stopping is None:
        recorder.record(StatusChanged, state=state.state, cause="unstorable", reason=fact.message)
    elif undo is not None:
        recorder.record(NodeStarted, **undo._asdict(), attempt=1)
        recorder.fail_permanently(state.entries[undo], "unstorable", fact.message, 0)


def next_compensation(graph: Graph, state: RunState) -> Address | None:
    """Return the compensation that opens once nothing else of a stopping run is open."""
    compensable = (address for address in reversed(state.done) if graph.compensation(address.node))
    address = next(compensable, None)
    return None if address is None else address._replace(phase="compensation")


def _compensate_next(recorder: TurnRecorder) -> None:
    while not recorder.state.entries:  # one that cannot even open does not stop the others
        address = next_compensation(recorder.graph, recorder.state)
        if address is None:
            _finish(recorder)
            return
        if not recorder.defer_blocked([address]):
            return
        start_attempt(recorder, address, 1)


def _finish(recorder: TurnRecorder) -> None:
    stopping = recorder.state.stopping
    if stopping is None:
        raise ValueError("a run that is not stopping has nothing to unwind")
    cause = "cancel_requested" if stopping.outcome == "cancelled" else stopping.error.code
    if cause not in ("cancel_requested", "input_timed_out", "unstorable", "result_too_large"):
        cause = "node_failed"
    recorder.record(StatusChanged, state=stopping.outcome, cause=cause)
    _end(recorder, recorder.state.not_compensated)


def _end(recorder: TurnRecorder, not_compensated: list[str]) -> None:
    stopping = recorder.state.stopping
    if stopping is None:
        raise ValueError("a run that is not stopping cannot end this way")
    # They belong to the run that ran them, which may have succeeded; nobody is to take them for undone here.
    reused = [name for name in recorder.state.reused if recorder.graph.compensation(name)]
    account = {
        "error": stopping.error,
        "compensated": tuple(recorder.state.compensated),
        "not_compensated": (*not_compensated, *reused),
    }
    if stopping.outcome == "failed":
        recorder.record(Failed, **account)
    else:
        recorder.record(Cancelled, forced=stopping.forced, **account)
