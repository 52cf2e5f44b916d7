"""What is being prepared to open (a child's input is made): handed out once, and not open yet.

It stands in no event, so it is kept beside the state by whoever prepares; after a restart nothing is.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define, field

from infraweave.core.run.address import Address


@define
class Preflights:
    """Entries that are being prepared; of maps also how many, and where the next item is looked for.

    Without the latter each item that ends would have all those found again that are being prepared: the time
    for one would grow with ``max_concurrency``.
    """

    entries: set[Address] = field(factory=set)
    _items: dict[Address, int] = field(factory=dict)
    _next: dict[Address, int] = field(factory=dict)

    def begin(self, addresses: Iterable[Address]) -> list[Address]:
        """Take in entries; return those that were not in preparation yet, each once."""
        new = [address for address in dict.fromkeys(addresses) if address not in self.entries]
        self.entries.update(new)
        for address in new:
            if address.index is not None:
                of = address._replace(index=None)
                self._items[of] = self._items.get(of, 0) + 1
                self._next[of] = max(self._next.get(of, 0), address.index + 1)
        return new

    def end(self, address: Address) -> None:
        """Let go of an entry, which has opened or never will."""
        if address not in self.entries:
            return
        self.entries.discard(address)
        if address.index is not None:
            of = address._replace(index=None)
            self._items[of] -= 1
            if not self._items[of]:  # all that were handed out are open: the map's own count tells the next
                del self._items[of], self._next[of]

    def items(self, of: Address) -> int:
        """Return how many items of a map are being prepared."""
        return self._items.get(of, 0)

    def following(self, of: Address) -> int:
        """Return the index from which on no item of a map has been handed out."""
        return self._next.get(of, 0)
