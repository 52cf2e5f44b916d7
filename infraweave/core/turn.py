"""One fact, worked through to the events that follow from it.

Theory of operation. ``turn`` takes what happened and writes it into the run's book: first the events that
close something, then the change of the run's state, then what that opens, last the end of the run. A fact
about a step that is no longer open changes nothing. Nothing here knows a clock, a random number, or who
performs what is open.

While a run goes forward, ready nodes open. Once it is stopping (failed or cancelled: the first cause wins) it
is unwound.
"""

from __future__ import annotations

from typing import assert_never

from infraweave.core import settle
from infraweave.core.address import Address
from infraweave.core.book import Book, Hold, Written
from infraweave.core.document import HumanInput, Router
from infraweave.core.events import Completed, SignalReceived, StatusChanged
from infraweave.core.facts import (
    Accepted,
    CancelAsked,
    Erred,
    Fact,
    Granted,
    Prompted,
    Resumed,
    Scheduled,
    Signalled,
    Succeeded,
    TerminateAsked,
    Unprepared,
    Woken,
)
from infraweave.core.graph import Graph
from infraweave.core.state import Entry, RunState
from infraweave.core.unwind import terminate, unwind
from infraweave.core.values import Json


def hold_nothing(_: Address) -> bool:
    """Let everything open."""
    return False


def turn(graph: Graph, state: RunState, fact: Fact, now: int, hold: Hold = hold_nothing) -> Written:
    """Work ``fact`` into ``state`` and return what followed; what ``hold`` names is not opened yet."""
    book = Book(graph, state, now, hold)
    if state.end is None:
        _take(book, fact)
        _go_on(book)
    return book.written


def _take(book: Book, fact: Fact) -> None:
    match fact:
        case Succeeded():
            _succeeded(book, fact)
        case Erred():
            entry = _in_flight(book.state, fact)
            if entry is not None:
                book.fail(entry, fact)
        case Accepted():
            _accepted(book, fact)
        case Granted():
            _granted(book)
        case Resumed():
            _resumed(book)
        case Woken():
            _woken(book)
        case Prompted() | Scheduled() | Unprepared():
            _prepared(book, fact)
        case Signalled():
            _signalled(book, fact)
        case CancelAsked():
            _cancel(book, fact)
        case TerminateAsked():
            terminate(book, fact)
        case _:
            assert_never(fact)


def _in_flight(state: RunState, fact: Succeeded | Erred) -> Entry | None:
    entry = state.entries.get(fact.address)
    return entry if entry and entry.status == "running" and entry.attempt == fact.attempt else None


def _accepted(book: Book, fact: Accepted) -> None:
    state = "running" if fact.slot else "queued"
    by = fact.origin.by
    book.record(StatusChanged, state=state, cause="accepted", by=by, origin=fact.origin, input=fact.input)
    book.look_everywhere = fact.slot


def _granted(book: Book) -> None:
    if book.state.state == "queued":
        book.record(StatusChanged, state="running", cause="slot_granted")
        book.look_everywhere = True


def _succeeded(book: Book, fact: Succeeded) -> None:
    entry = _in_flight(book.state, fact)
    if entry is None:
        return
    node = book.graph.nodes[fact.address.node]
    routes = _chosen(node, fact.output) if isinstance(node, Router) else None
    if isinstance(routes, str):
        book.give_up(entry, "unknown_route", routes, fact.latency_ms, fact.usage)
    else:
        book.complete(entry, fact.latency_ms, fact.usage, routes, fact.output)


def _chosen(node: Router, output: Json) -> tuple[str, ...] | str:
    """Return the routes that a router's output names, or why it names none."""
    names = [output] if isinstance(output, str) else output
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return f"{node.name} returned {output!r:.200}; expected a route, a list of routes, or []"
    unknown = [name for name in names if name not in node.routes]
    if unknown:
        return f"{node.name} returned the unknown route {unknown[0]!r:.200}; it has {', '.join(node.routes)}"
    if len(names) > 1 and not node.many:
        return f"{node.name} is declared to return one route and returned {', '.join(names)}"
    return tuple(name for name in node.routes if name in names)


def _resumed(book: Book) -> None:
    book.look_everywhere = book.state.state != "queued"
    for entry in [entry for entry in book.state.entries.values() if entry.status == "running"]:
        book.interrupt(entry)
    _woken(book)


def _woken(book: Book) -> None:
    due = [e for e in book.state.entries.values() if e.due_at is not None and e.due_at <= book.now]
    for entry in sorted(due, key=lambda e: e.due_at or 0):
        if book.unwinding(entry):
            continue
        if entry.status == "backoff":
            book.reopen.append(entry.address)
        elif entry.request is not None:
            book.resolve(entry, "timed_out")
        else:
            book.complete(entry, book.now - entry.opened_at)


def _prepared(book: Book, fact: Prompted | Scheduled | Unprepared) -> None:
    if book.state.stopping is not None or not settle.is_ready(book.graph, book.state, fact.node):
        return
    match fact:
        case Prompted():
            node = book.graph.nodes[fact.node]
            if isinstance(node, HumanInput):
                book.ask(node, fact.prompt, fact.data)
        case Scheduled():
            book.sleep(fact.node, fact.wake_at)
        case Unprepared():
            book.start(Address(fact.node), 1)
            book.give_up(book.state.entries[Address(fact.node)], fact.code, fact.message, 0)
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
        book.resolve(entry, "answered", letter)


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
    book.reopen = book.keep_back(book.reopen)
    book.update_status()
    book.reopen_due()
    while ready:
        book.touched = []
        for address in ready:
            book.open(address)
        ready = _ready(book)
    if len(book.state.settled) == len(book.graph.nodes) and not book.state.entries:
        book.record(StatusChanged, state="succeeded", cause="all_nodes_settled")
        book.record(Completed, result=settle.result(book.graph, book.state))


def _ready(book: Book) -> list[Address]:
    if book.look_everywhere:
        book.look_everywhere = False
        names = settle.all_ready(book.graph, book.state)
    elif not book.touched:
        return []
    else:
        names = settle.ready(book.graph, book.state, book.touched)
    return book.keep_back([Address(name) for name in names])
