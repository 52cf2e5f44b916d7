"""How a run stops: its waits are withdrawn, its attempts in flight end, completed nodes are compensated.

Compensations run one at a time, in reverse order of completion. A failed compensation does not stop the
others. A terminated run skips all of this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from infraweave.core.run.address import Address
from infraweave.core.run.entries import Entry
from infraweave.core.run.events import Cancelled, Failed, NodeStarted, StatusChanged
from infraweave.core.run.facts import AppendRejected, TerminateRequested
from infraweave.core.run.openings import start_attempt, start_due_retries
from infraweave.core.run.recorder import TurnRecorder
from infraweave.core.run.state import RunState
from infraweave.core.workflow.graph import Graph


def rollback(recorder: TurnRecorder) -> None:
    """Take the next step of a stopping run."""
    state = recorder.state
    withdraw_waiting(recorder, _may_wait(recorder))
    recorder.check_due_retries()
    if state.state != "queued":
        recorder.update_status()
    start_due_retries(recorder)
    if not state.entries:
        _compensate_next(recorder)


def _may_wait(recorder: TurnRecorder) -> list[Entry]:
    """Return the forward entries that may have to be withdrawn.

    A run that was stopping before this turn has no new waits: only a map whose last item ended is left to
    close. A scan of all entries for each attempt that ends would take quadratic time.
    """
    entries = recorder.state.entries
    if recorder.was_stopping and not recorder.full_scan:
        return [entries[address] for address in dict.fromkeys(recorder.advanced_maps) if address in entries]
    return [entry for entry in entries.values() if entry.address.phase == "forward"]


def withdraw_waiting(recorder: TurnRecorder, entries: list[Entry]) -> None:
    """Withdraw the entries that wait. Code and child runs end by themselves, and maps after their items."""
    state = recorder.state
    for entry in entries:
        if entry.status != "running" and entry.child_run_id is None and entry.address not in state.maps:
            recorder.withdraw(entry)
    for entry in entries:
        if entry.address in state.maps and not state.maps[entry.address].open:
            recorder.withdraw(entry)


def withdraw_losers(recorder: TurnRecorder) -> None:
    """Withdraw the waiting entries of nodes that lost a race."""
    withdraw_waiting(
        recorder, [entry for entry in recorder.state.entries.values() if recorder.has_lost(entry)]
    )


def terminate(recorder: TurnRecorder, fact: TerminateRequested) -> None:
    """End the run at once: close every open entry and compensate nothing."""
    state = recorder.state
    for entry in sorted(state.entries.values(), key=lambda entry: entry.address in state.maps):
        recorder.withdraw(entry, "the run was terminated")
    skipped = list(_compensable(recorder.graph, state))
    recorder.record(
        StatusChanged, state="cancelled", cause="terminated", by=fact.by, reason=fact.reason, link=fact.link
    )
    _end(recorder, [*state.not_compensated, *skipped])


def handle_rejection(recorder: TurnRecorder, fact: AppendRejected) -> None:
    """Fail the entry of a fact whose events cannot be stored; else the run, or its next compensation.

    The caller blocks all entries meanwhile, so that none of them opens again in the same commit.
    """
    state = recorder.state
    entry = None if fact.address is None else state.entries.get(fact.address)
    compensation = next_compensation(recorder.graph, state)
    if entry is not None and entry.request is None:
        recorder.fail_permanently(entry, "unstorable", fact.message, recorder.open_ms(entry))
    elif state.stopping is None:
        recorder.record(StatusChanged, state=state.state, cause="unstorable", reason=fact.message)
    elif compensation is not None:
        recorder.record(NodeStarted, **compensation._asdict(), attempt=1)
        recorder.fail_permanently(state.entries[compensation], "unstorable", fact.message, 0)


def next_compensation(graph: Graph, state: RunState) -> Address | None:
    """Return the compensation that opens once a stopping run has no other open entry."""
    address = next(_compensable(graph, state), None)
    return None if address is None else address.compensation


def _compensable(graph: Graph, state: RunState) -> Iterator[Address]:
    """Yield the completed entries that can be compensated, in the order of their compensation."""
    return (address for address in reversed(state.completed) if graph.compensation(address.node))


def _compensate_next(recorder: TurnRecorder) -> None:
    while not recorder.state.entries:  # a compensation that fails to open closes at once
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
        raise ValueError("a run that is not stopping cannot finish its rollback")
    cause = "cancel_requested" if stopping.outcome == "cancelled" else stopping.error.code
    if cause not in ("cancel_requested", "input_timed_out", "unstorable", "result_too_large"):
        cause = "node_failed"
    recorder.record(StatusChanged, state=stopping.outcome, cause=cause)
    _end(recorder, recorder.state.not_compensated)


def _end(recorder: TurnRecorder, not_compensated: Iterable[Address]) -> None:
    stopping = recorder.state.stopping
    if stopping is None:
        raise ValueError("a run that is not stopping cannot end this way")
    # Reused results belong to the earlier run, so this run does not compensate them.
    reused = [name for name in recorder.state.reused if recorder.graph.compensation(name)]
    fields = {
        "error": stopping.error,
        "compensated": tuple(map(str, recorder.state.compensated)),
        "not_compensated": (*map(str, not_compensated), *reused),
    }
    if stopping.outcome == "failed":
        recorder.record(Failed, **fields)
    else:
        recorder.record(Cancelled, forced=stopping.forced, **fields)
