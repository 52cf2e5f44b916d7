"""The address of an entry: its node, the iteration of a loop, the item of a map, and the phase.

An *entry* is one execution of a node. Its attempts are not part of its address.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

Phase: TypeAlias = Literal["forward", "compensation"]

#: ``made(Address, (node, iteration, index, phase))`` makes an address without the detour of its ``__new__``.
#: Every event makes a few addresses.
made: Callable[[type[Address], tuple[str, int | None, int | None, Phase]], Address] = tuple.__new__


class Address(NamedTuple):
    """Identifies one entry of a run. ``iteration`` counts from 1, ``index`` from 0; None: not applicable."""

    node: str
    iteration: int | None = None
    index: int | None = None  # type: ignore[assignment]  # the wire's word; nobody searches the tuple
    phase: Phase = "forward"

    @property
    def map_entry(self) -> Address:
        """The entry of the map that an item belongs to."""
        return made(Address, (self[0], self[1], None, self[3]))

    @property
    def forward(self) -> Address:
        """The entry that a compensation undoes."""
        return made(Address, (*self[:3], "forward"))

    @property
    def compensation(self) -> Address:
        """The entry that undoes this one."""
        return Address(self.node, self.iteration, self.index, "compensation")

    def __str__(self) -> str:
        turn = "" if self.iteration is None else f"#{self.iteration}"
        item = "" if self.index is None else f"[{self.index}]"
        return f"{self.node}{turn}{item}" + ("" if self.phase == "forward" else f":{self.phase}")
