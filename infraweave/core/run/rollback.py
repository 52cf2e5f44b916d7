"""How a run stops: waits are withdrawn, what is in flight is awaited, completed nodes are undone, it ends.

Nodes are undone one at a time in reverse order of completion. One that cannot be undone does not stop the
others. A terminated run skips all of that.
"""

from __future__ import annotations

from infraweave.core.run.address import Address
from infraweave.core.run.entries import Entry
from infraweave.core.run.events import Cancelled, Failed, NodeStarted, StatusChanged
from infraweave.core.run.facts import Refused, TerminateAsked
from infraweave.core.run.openings import reopen_due, start
from infraweave.core.run.recorder import Book
from infraweave.core.run.state import RunState
from infraweave.core.workflow.graph import Graph


def unwind(book: Book) -> None:
    """Take a stopping run one step further."""
    state = book.state
    withdraw_waiting(book, _may_wait(book))
    # What was due to be tried again has been withdrawn too, where it belongs to the part that is given up.
    book.reopen = book.keep_back([address for address in book.reopen if address in state.entries])
    if state.state != "queued":
        book.update_status()
    reopen_due(book)
    if not state.entries:
        _undo_next(book)


def _may_wait(book: Book) -> list[Entry]:
    """Return the forward entries among which some may wait.

    Once a run is stopping nothing begins to wait any more, and only a map whose last item ends is left to be
    closed: to go over all that is in flight for each that ends would take the square of it.
    """
    entries = book.state.entries
    if book.was_stopping and not book.look_everywhere:
        return [entries[address] for address in dict.fromkeys(book.moved) if address in entries]
    return [entry for entry in entries.values() if entry.address.phase == "forward"]


def withdraw_waiting(book: Book, entries: list[Entry]) -> None:
    """Close what waits; bodies and children that are being stopped end by themselves, and maps after them."""
    state = book.state
    for entry in entries:
        if entry.status != "running" and entry.child_run_id is None and entry.address not in state.maps:
            book.withdraw(entry)
    for entry in entries:
        if entry.address in state.maps and not state.maps[entry.address].open:
            book.withdraw(entry)


def withdraw_losers(book: Book) -> None:
    """Close what waits of the nodes that have lost a race."""
    withdraw_waiting(book, [entry for entry in book.state.entries.values() if book.has_lost(entry)])


def terminate(book: Book, fact: TerminateAsked) -> None:
    """End the run at once: everything open is closed, nothing is undone."""
    state = book.state
    for entry in sorted(state.entries.values(), key=lambda entry: entry.address in state.maps):
        book.withdraw(entry, "the run was terminated")
    not_undone = [str(address) for address in reversed(state.done) if book.graph.compensation(address.node)]
    book.record(
        StatusChanged, state="cancelled", cause="terminated", by=fact.by, reason=fact.reason, link=fact.link
    )
    _end(book, [*state.not_compensated, *not_undone])


def refuse(book: Book, fact: Refused) -> None:
    """Fail what led to something that cannot be stored: its entry, the run, or what is to be undone next.

    The caller holds everything back meanwhile, so that none of it is tried again in the same commit.
    """
    state = book.state
    entry = None if fact.address is None else state.entries.get(fact.address)
    undo = next_undo(book.graph, state)
    if entry is not None and entry.request is None:
        book.give_up(entry, "unstorable", fact.message, book.open_for(entry))
    elif state.stopping is None:
        book.record(StatusChanged, state=state.state, cause="unstorable", reason=fact.message)
    elif undo is not None:
        book.record(NodeStarted, **undo._asdict(), attempt=1)
        book.give_up(state.entries[undo], "unstorable", fact.message, 0)


def next_undo(graph: Graph, state: RunState) -> Address | None:
    """Return the compensation that opens once nothing else of a stopping run is open."""
    compensable = (address for address in reversed(state.done) if graph.compensation(address.node))
    address = next(compensable, None)
    return None if address is None else address._replace(phase="compensation")


def _undo_next(book: Book) -> None:
    while not book.state.entries:  # one that cannot even open does not stop the others
        address = next_undo(book.graph, book.state)
        if address is None:
            _finish(book)
            return
        if not book.keep_back([address]):
            return
        start(book, address, 1)


def _finish(book: Book) -> None:
    stopping = book.state.stopping
    if stopping is None:
        raise ValueError("a run that is not stopping has nothing to unwind")
    cause = "cancel_requested" if stopping.outcome == "cancelled" else stopping.error.code
    if cause not in ("cancel_requested", "input_timed_out", "unstorable", "result_too_large"):
        cause = "node_failed"
    book.record(StatusChanged, state=stopping.outcome, cause=cause)
    _end(book, book.state.not_compensated)


def _end(book: Book, not_compensated: list[str]) -> None:
    stopping = book.state.stopping
    if stopping is None:
        raise ValueError("a run that is not stopping cannot end this way")
    # They belong to the run that ran them, which may have succeeded; nobody is to take them for undone here.
    reused = [name for name in book.state.reused if book.graph.compensation(name)]
    account = {
        "error": stopping.error,
        "compensated": tuple(book.state.compensated),
        "not_compensated": (*not_compensated, *reused),
    }
    if stopping.outcome == "failed":
        book.record(Failed, **account)
    else:
        book.record(Cancelled, forced=stopping.forced, **account)
