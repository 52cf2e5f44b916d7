"""Where in a run something happens: node, iteration of a loop, item of a map, and phase.

An *entry* is one execution of a node and is named by an Address; its attempts are counted beside it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Phase: TypeAlias = Literal["forward", "compensation"]


class Address(NamedTuple):
    """Name one entry of a run. ``iteration`` counts from 1, ``index`` from 0; None where not applicable."""

    node: str
    iteration: int | None = None
    index: int | None = None  # type: ignore[assignment]  # the wire's word; nobody searches the tuple
    phase: Phase = "forward"

    def __str__(self) -> str:
        turn = "" if self.iteration is None else f"#{self.iteration}"
        item = "" if self.index is None else f"[{self.index}]"
        return f"{self.node}{turn}{item}" + ("" if self.phase == "forward" else f":{self.phase}")
