"""The entries in preflight.

Some entries need a preflight before they can open: the author's code returns a prompt, the time of a timer
or the input of a child run. Until it ends, no event tells of them, so the engine keeps them beside the state.
After a restart there are none, and each preflight begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field

from infraweave.core.records import define
from infraweave.core.run.address import Address


@define
class Preflights:
    """Entries in preflight. For each map, also their number and the lowest index that none of them had yet.

    Both save a scan of all items in preflight whenever one item of a map ends.
    """

    entries: set[Address] = field(factory=set)
    _items: dict[Address, int] = field(factory=dict)
    _next_index: dict[Address, int] = field(factory=dict)

    def begin(self, addresses: Iterable[Address]) -> list[Address]:
        """Add entries. Return those that were not in preflight yet."""
        new = [address for address in dict.fromkeys(addresses) if address not in self.entries]
        self.entries.update(new)
        for address in new:
            if address.index is not None:
                of = address.map_entry
                self._items[of] = self._items.get(of, 0) + 1
                self._next_index[of] = max(self._next_index.get(of, 0), address.index + 1)
        return new

    def end(self, address: Address) -> None:
        """Remove an entry that has opened or never will."""
        if address not in self.entries:
            return
        self.entries.discard(address)
        if address.index is not None:
            of = address.map_entry
            self._items[of] -= 1
            if not self._items[of]:  # from here on the progress of the map itself says which item is next
                del self._items[of], self._next_index[of]

    def items(self, of: Address) -> int:
        """Return how many items of a map are in preflight."""
        return self._items.get(of, 0)

    def next_index(self, of: Address) -> int:
        """Return the lowest index that no item in preflight has reached."""
        return self._next_index.get(of, 0)
