"""How a map advances: its items open in order, so many at a time, and it closes after the last of them."""

from __future__ import annotations

from infraweave.core.run.address import Address
from infraweave.core.run.entries import Items
from infraweave.core.run.openings import start
from infraweave.core.run.recorder import Book
from infraweave.core.workflow.document import Map, starts_child


def close_maps(book: Book) -> None:
    """Close the maps whose items have all ended; the others stay in ``book.moved``, or are withdrawn."""
    moved, book.moved = dict.fromkeys(book.moved), []
    for address in moved:
        entry, items = book.state.entries.get(address), book.state.maps.get(address)
        if entry is None or items is None:
            continue
        if items.closed < items.total or items.stopped:
            book.moved.append(address)
        else:
            book.complete(entry, book.open_for(entry), output=items.outputs)


def open_items(book: Book) -> None:
    """Open the next items of the maps in ``book.moved``."""
    moved, book.moved = book.moved, []
    for address in moved:
        entry = book.state.entries.get(address)
        if entry is not None and not book.is_given_up(entry):
            _open_next(book, address, book.state.maps[address])


def _open_next(book: Book, address: Address, items: Items) -> None:
    node = book.graph.nodes[address.node]
    if not isinstance(node, Map):
        raise TypeError(f"{address} is no map")
    preparing = book.preparing
    room = node.max_concurrency - items.open - preparing.items(address)
    found = items.unopened(room, preparing.following(address))
    next_ones = [address._replace(index=index) for index in found]
    free = book.keep_back(next_ones)
    if starts_child(node):
        book.written.prepare += free
        return
    for item in free:
        start(book, item, 1)
