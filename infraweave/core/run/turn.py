"""One fact, worked through to the events that follow from it.

Theory of operation. ``turn`` takes what happened and writes it into the run's book: first the events that
close something, then the change of the run's state, then what that opens, last the end of the run. A fact
about a step that is no longer open changes nothing. Nothing here knows a clock, a random number, or who
performs what is open.

While a run goes forward, ready nodes open, and the next items of maps. Once it is stopping (failed or
cancelled: the first cause wins) it is unwound.
"""

from __future__ import annotations

from typing import assert_never

from infraweave.core.data.sizes import TooLarge
from infraweave.core.run import readiness
from infraweave.core.run.address import Address
from infraweave.core.run.events import Completed, SignalReceived, StatusChanged
from infraweave.core.run.facts import (
    Accepted,
    CancelAsked,
    ChildEnded,
    Erred,
    Fact,
    Granted,
    Launched,
    Prompted,
    PutBack,
    Refused,
    Resumed,
    Scheduled,
    Signalled,
    Succeeded,
    TerminateAsked,
    Unprepared,
    Woken,
)
from infraweave.core.run.map_items import close_maps, open_items
from infraweave.core.run.openings import (
    ask,
    fail_to_open,
    open_entry,
    prepare_reopening,
    reopen_due,
    sleep,
    start,
)
from infraweave.core.run.outcomes import conclude
from infraweave.core.run.preparing import Preparing
from infraweave.core.run.recorder import Book, Hold, Written
from infraweave.core.run.rollback import refuse, terminate, unwind, withdraw_losers
from infraweave.core.run.state import RunState
from infraweave.core.workflow.document import HumanInput
from infraweave.core.workflow.graph import Graph


def hold_nothing(_: Address) -> bool:
    """Let everything open."""
    return False


def turn(
    graph: Graph,
    state: RunState,
    fact: Fact,
    now: int,
    hold: Hold = hold_nothing,
    preparing: Preparing | None = None,
) -> Written:
    """Work ``fact`` into ``state`` and return what followed; what ``hold`` names is not opened yet.

    ``preparing``: what the caller has begun to prepare since it was told to; only read here.
    """
    book = Book(graph, state, now, hold, preparing or Preparing())
    if state.end is None:
        _take(book, fact)
        _go_on(book)
    return book.written


def _take(book: Book, fact: Fact) -> None:
    match fact:
        case Succeeded() | Erred() | PutBack() | ChildEnded():
            conclude(book, fact)
        case Accepted():
            _accepted(book, fact)
        case Granted():
            _granted(book)
        case Resumed():
            _resumed(book)
        case Woken():
            _woken(book)
        case Prompted() | Scheduled() | Launched() | Unprepared():
            _prepared(book, fact)
        case Signalled():
            _signalled(book, fact)
        case CancelAsked():
            _cancel(book, fact)
        case TerminateAsked():
            terminate(book, fact)
        case Refused():
            refuse(book, fact)
        case _:
            assert_never(fact)


def _accepted(book: Book, fact: Accepted) -> None:
    state = "running" if fact.slot else "queued"
    kept = fact.reused
    more = {} if kept is None else {"reused": kept.ran, "skipped": kept.skipped, "results": kept.results}
    book.record(
        StatusChanged,
        state=state,
        cause="accepted",
        by=fact.origin.by,
        origin=fact.origin,
        input=fact.input,
        **more,
    )
    book.look_everywhere = fact.slot


def _granted(book: Book) -> None:
    if book.state.state == "queued":
        book.record(StatusChanged, state="running", cause="slot_granted")
        book.look_everywhere = True


def _resumed(book: Book) -> None:
    book.look_everywhere = book.state.state != "queued"
    for entry in [entry for entry in book.state.entries.values() if entry.status == "running"]:
        book.interrupt(entry)
    _woken(book)


def _woken(book: Book) -> None:
    due = [e for e in book.state.entries.values() if e.due_at is not None and e.due_at <= book.now]
    for entry in sorted(due, key=lambda e: e.due_at or 0):
        if book.is_given_up(entry):
            continue
        if entry.status == "backoff":
            book.reopen.append(entry.address)
        elif entry.signal is not None:
            book.run_out(entry)
        else:
            book.complete(entry, book.open_for(entry))


def _prepared(book: Book, fact: Prompted | Scheduled | Launched | Unprepared) -> None:
    if not readiness.may_open(book.graph, book.state, fact.address):
        return
    entry = book.state.entries.get(fact.address)
    if entry is not None and entry.due_at is not None and entry.due_at > book.now:
        return  # the clock was set back meanwhile: it is prepared anew in its time
    match fact:
        case Prompted():
            node = book.graph.nodes[fact.address.node]
            if isinstance(node, HumanInput):
                ask(book, fact.address, node, fact.prompt, fact.data)
        case Scheduled():
            sleep(book, fact.address, fact.wake_at)
        case Launched():
            book.launches[fact.address] = fact.input
            if entry is None:
                start(book, fact.address, 1)
            else:
                book.reopen.append(fact.address)
        case Unprepared():
            fail_to_open(book, fact.address, fact.code, fact.message, fact.traceback)
        case _:
            assert_never(fact)


def _signalled(book: Book, fact: Signalled) -> None:
    entry = book.state.request(fact.request_id) or book.state.oldest_request(fact.name)
    letter = book.record(
        SignalReceived,
        name=fact.name,
        request_id=fact.request_id,
        by=fact.by,
        link=fact.link,
        payload=fact.payload,
    )
    if entry is not None:
        book.receive(entry, letter)


def _cancel(book: Book, fact: CancelAsked) -> None:
    if not book.state.cancel_requested:
        book.record(
            StatusChanged,
            state=book.state.state,
            cause="cancel_requested",
            cancel_requested=True,
            by=fact.by,
            reason=fact.reason,
            link=fact.link,
        )


def _go_on(book: Book) -> None:
    state = book.state
    if state.end is not None or not (book.written.events or book.reopen or book.look_everywhere):
        return
    if state.stopping is not None:
        unwind(book)
    elif state.state != "queued":
        _go_forward(book)


def _go_forward(book: Book) -> None:
    ready = _ready(book)
    # What lost a race just now was withdrawn, also where it was due to be tried again.
    book.reopen = book.keep_back([address for address in book.reopen if address in book.state.entries])
    prepare_reopening(book)
    book.update_status()
    reopen_due(book)
    while (ready or book.moved) and book.state.stopping is None:
        open_items(book)
        for address in ready:
            if book.state.stopping is None:
                open_entry(book, address)
        ready = _ready(book)
    if book.state.stopping is not None:  # something could not even open
        unwind(book)
    elif len(book.state.settled) == len(book.graph.nodes) and not book.state.entries:
        _succeed(book)
    else:
        book.update_status()  # what opened and closed at once may have won over what was to be tried again


def _succeed(book: Book) -> None:
    try:
        result = readiness.result(book.graph, book.state)
    except TooLarge as error:
        reason = f"The run's result is too large: together, {error}"
        book.record(StatusChanged, state=book.state.state, cause="result_too_large", reason=reason)
        unwind(book)
        return
    book.record(StatusChanged, state="succeeded", cause="all_nodes_settled")
    book.record(Completed, result=result)


def _ready(book: Book) -> list[Address]:
    """Close what can be closed, and return the entries that can open then."""
    graph, state = book.graph, book.state
    if book.look_everywhere:
        book.moved += state.maps
    if book.moved:
        close_maps(book)
    if graph.races:
        withdraw_losers(book)
    if book.look_everywhere:
        names = readiness.all_ready(graph, state)
    elif book.touched or book.fresh:
        names = readiness.ready(graph, state, book.touched, book.fresh)
    else:
        return []
    book.look_everywhere, book.touched, book.fresh = False, [], []
    return book.keep_back([readiness.entry_of(graph, state, name) for name in names])
