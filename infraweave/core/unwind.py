"""How a run stops: waits are withdrawn, what is in flight is awaited, completed nodes are undone, it ends.

Nodes are undone one at a time in reverse order of completion. One that cannot be undone does not stop the
others. A terminated run skips all of that.
"""

from __future__ import annotations

from infraweave.core.address import Address
from infraweave.core.book import Book
from infraweave.core.events import Cancelled, Failed, StatusChanged
from infraweave.core.facts import TerminateAsked
from infraweave.core.graph import Graph
from infraweave.core.state import RunState


def unwind(book: Book) -> None:
    """Take a stopping run one step further."""
    state = book.state
    forward = [entry for entry in state.entries.values() if entry.address.phase == "forward"]
    for entry in forward:
        if entry.status != "running":
            book.withdraw(entry)
    # What was due to be tried again has been withdrawn too, where it belongs to the part that is given up.
    book.reopen = book.keep_back([address for address in book.reopen if address in state.entries])
    if state.state != "queued":
        book.update_status()
    book.reopen_due()
    if not state.entries:
        _undo_next(book)


def terminate(book: Book, fact: TerminateAsked) -> None:
    """End the run at once: everything open is closed, nothing is undone."""
    state = book.state
    for entry in list(state.entries.values()):
        book.withdraw(entry)
    not_undone = [address.node for address in reversed(state.done) if book.graph.compensation(address.node)]
    book.record(
        StatusChanged, state="cancelled", cause="terminated", by=fact.by, reason=fact.reason, link=fact.link
    )
    _end(book, [*state.not_compensated, *not_undone])


def next_undo(graph: Graph, state: RunState) -> Address | None:
    """Return the compensation that opens once nothing else of a stopping run is open."""
    compensable = (address for address in reversed(state.done) if graph.compensation(address.node))
    address = next(compensable, None)
    return None if address is None else address._replace(phase="compensation")


def _undo_next(book: Book) -> None:
    address = next_undo(book.graph, book.state)
    if address is None:
        _finish(book)
        return
    for undo in book.keep_back([address]):
        book.start(undo, 1)


def _finish(book: Book) -> None:
    stopping = book.state.stopping
    if stopping is None:
        raise ValueError("a run that is not stopping has nothing to unwind")
    cause = "cancel_requested" if stopping.outcome == "cancelled" else stopping.error.code
    if cause not in ("cancel_requested", "input_timed_out"):
        cause = "node_failed"
    book.record(StatusChanged, state=stopping.outcome, cause=cause)
    _end(book, book.state.not_compensated)


def _end(book: Book, not_compensated: list[str]) -> None:
    stopping = book.state.stopping
    if stopping is None:
        raise ValueError("a run that is not stopping cannot end this way")
    account = {
        "error": stopping.error,
        "compensated": tuple(book.state.compensated),
        "not_compensated": tuple(not_compensated),
    }
    if stopping.outcome == "failed":
        book.record(Failed, **account)
    else:
        book.record(Cancelled, forced=stopping.forced, **account)
