"""The openings: how each kind of node begins, and begins again.

What needs something first that is not the core's to do (a function that makes a prompt, a child's workflow)
is left in ``written.prepare``; a fact says later that it may open.
"""

from __future__ import annotations

from typing import assert_never

from infraweave.core.data.sizes import TooLarge
from infraweave.core.data.template import TemplateError, TemplateTooLarge, render
from infraweave.core.data.values import Json
from infraweave.core.run import readiness
from infraweave.core.run.address import Address
from infraweave.core.run.events import InputRequested, NodeStarted
from infraweave.core.run.ids import child_run_id, input_request_id
from infraweave.core.run.recorder import Book
from infraweave.core.workflow.document import (
    Activity,
    Http,
    HumanInput,
    Loop,
    Map,
    Router,
    Signal,
    Subworkflow,
    Timer,
    Wait,
    starts_child,
)

#: The code of nodes that would be given too much.
INPUT_TOO_LARGE = "input_too_large"


def open_entry(book: Book, address: Address) -> None:
    """Open an entry, or leave it to be prepared."""
    node = book.graph.nodes[address.node]
    match node:
        case Activity() | Router() | Loop() | Http():
            start(book, address, 1)
        case Map():
            _open_map(book, address, node)
        case HumanInput() if node.prompt is not None:
            _ask_as_declared(book, address, node, node.prompt)
        case Signal():
            listen(book, address, node)
        case Timer() if node.delay is not None:
            sleep(book, address, book.now + round(node.delay * 1000))
        case HumanInput() | Timer() | Subworkflow():
            book.written.prepare.append(address)
        case _:
            assert_never(node)


def prepare_reopening(book: Book) -> None:
    """Take the children out of ``book.reopen`` that must be prepared before they can be tried again."""
    for address in [a for a in book.reopen if _must_be_prepared(book, a)]:
        book.reopen.remove(address)
        book.written.prepare.append(address)


def _must_be_prepared(book: Book, address: Address) -> bool:
    forward = address.phase == "forward" and address not in book.launches
    return forward and starts_child(book.graph.nodes[address.node])


def reopen_due(book: Book) -> None:
    """Open the next attempt of each entry in ``book.reopen``."""
    for address in book.reopen:
        start(book, address, book.state.entries[address].attempt + 1)
    book.reopen = []


def start(book: Book, address: Address, attempt: int) -> None:
    """Open an attempt of code, or of a child; it fails at once where it would be given too much."""
    if address in book.launches:
        child = child_run_id(book.state.run_id, address, attempt, book.now)
        _started(book, address, attempt, book.launches[address], child)
        return
    try:
        given = _given(book, address)
    except TooLarge as error:
        _started(book, address, attempt)
        book.give_up(book.state.entries[address], INPUT_TOO_LARGE, too_much(error), 0)
    else:
        _started(book, address, attempt, given)


def too_much(error: TooLarge) -> str:
    """Return why a node fails that would be given too much."""
    return f"What it is to be given is too large: together, {error}"


def _started(
    book: Book, address: Address, attempt: int, given: Json = None, child: str | None = None
) -> None:
    before = book.state.entries.get(address)
    same = before is not None and bool(given) and before.told == given
    book.record(
        NodeStarted,
        **address._asdict(),
        attempt=attempt,
        child_run_id=child,
        input=given,
        input_seq=before.told_at if before is not None and same else None,
    )


def fail_to_open(book: Book, address: Address, code: str, message: str, traceback: str | None = None) -> None:
    """Open an entry only to close it as failed for good: what must come before it failed."""
    before = book.state.entries.get(address)
    start(book, address, 1 if before is None else before.attempt + 1)
    if (entry := book.state.entries.get(address)) is not None:
        book.give_up(entry, code, message, 0, traceback=traceback)


def _given(book: Book, address: Address) -> dict[str, Json]:
    """Return what the code of an entry is given."""
    if address.phase == "compensation":
        undo = book.graph.compensation(address.node)
        return readiness.bind_undo(book.graph, book.state, address, undo.params) if undo else {}
    whole = book.state.entries.get(address._replace(index=None)) if address.index is not None else None
    if whole is not None and whole.input is not None:  # what all items are given stands there, once
        return readiness.given_to_one(book.graph, book.state, address)
    return readiness.given(book.graph, book.state, address)


def _open_map(book: Book, address: Address, node: Map) -> None:
    items = readiness.items_of(book.state, node)
    total = len(items) if isinstance(items, list) else 0
    try:
        shared = (
            None if starts_child(node) else readiness.given_to_all(book.graph, book.state, address) or None
        )
    except TooLarge:
        start(book, address, 1)  # it fails for the same reason
        return
    book.record(NodeStarted, **address._asdict(), attempt=1, items=total, input=shared)
    if isinstance(items, list):
        book.moved.append(address)
    else:
        what = f"{node.over} at {node.pointer}" if node.pointer else node.over
        message = f"{what} is no list, so {node.name} cannot go over it"
        book.give_up(book.state.entries[address], "input_mismatch", message, 0)


def sleep(book: Book, address: Address, wake_at: int) -> None:
    """Open a timer."""
    book.record(NodeStarted, **address._asdict(), attempt=1, wake_at=wake_at)


def listen(book: Book, address: Address, node: Signal) -> None:
    """Open a wait for a signal; one that came early ends it in the same commit."""
    deadline = _deadline(book, node)
    book.record(NodeStarted, **address._asdict(), attempt=1, signal=node.name, deadline=deadline)
    _read_mailbox(book, address)


def _ask_as_declared(book: Book, address: Address, node: HumanInput, prompt: str) -> None:
    """Ask with the prompt that the document has, its places filled with the node's params."""
    try:
        absent = {param.name: None for param in node.params}
        filled = render(prompt, {**absent, **_given(book, address)}) if node.params else prompt
    except TemplateTooLarge as error:
        fail_to_open(book, address, INPUT_TOO_LARGE, f"The prompt: {error}")
    except TooLarge:
        start(book, address, 1)
    except TemplateError as error:
        fail_to_open(book, address, "input_mismatch", f"The prompt: {error}")
    else:
        ask(book, address, node, filled)


def ask(book: Book, address: Address, node: HumanInput, prompt: str, data: Json = None) -> None:
    """Open a human node's entry; a signal that came early answers it in the same commit."""
    book.record(
        InputRequested,
        node=node.name,
        iteration=address.iteration,
        index=address.index,
        request_id=input_request_id(book.state.run_id, address),
        signal=node.name,
        prompt=prompt,
        schema=node.schema,
        deadline=_deadline(book, node),
        data=data,
    )
    _read_mailbox(book, address)


def _deadline(book: Book, node: Wait) -> int | None:
    return None if node.timeout is None else book.now + round(node.timeout * 1000)


def _read_mailbox(book: Book, address: Address) -> None:
    letters = book.state.mailbox.get(address.node)
    if letters:
        book.receive(book.state.entries[address], letters[0])
