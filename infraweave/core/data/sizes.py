"""How large a value will be, known before it is made: one value may stand in another any number of times.

A document of a few kilobytes can ask for an input of a few megabytes eight hundred times. The parts are in
memory already and cost nothing where they are only referred to; what takes gigabytes is to copy, join or
encode the whole. So whoever puts parts together weighs them first.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define, field

from infraweave.core.data.json_codec import dumps
from infraweave.core.data.values import Json

#: Bytes, as JSON: what a node may be given, what an http node may send, and what a map or a run may yield.
MAX_VALUE_BYTES = 16 * 2**20
#: Bytes of a text that a template makes: a prompt, the key of a limit, a part of an input.
MAX_TEXT = 2**20


class TooLarge(ValueError):
    """What would be made has more bytes than are allowed."""


def json_size(value: Json) -> int:
    """Return the bytes of a value as JSON; what costs nothing to know is estimated."""
    return 8 if value is None or isinstance(value, bool | int | float) else len(dumps(value))


@define
class SizeBudget:
    """Bytes that are left for parts of one value; each part is weighed once, however often it is taken."""

    most: int = MAX_VALUE_BYTES
    _taken: int = 0
    #: By identity, with the value, which so keeps its identity for as long.
    _known: dict[int, tuple[Json, int]] = field(factory=dict)

    def take(self, size: int) -> None:
        """Take some bytes.

        Raises:
            TooLarge: so many are not left.
        """
        self._taken += size
        if self._taken > self.most:
            raise TooLarge(f"it would have more than {self.most:,} bytes as JSON")

    def take_value(self, value: Json) -> None:
        """Take the bytes of a value.

        Raises:
            TooLarge: so many are not left.
        """
        if id(value) not in self._known:
            self._known[id(value)] = value, json_size(value)
        self.take(self._known[id(value)][1])


def check_size(values: Iterable[Json], most: int = MAX_VALUE_BYTES) -> None:
    """Complain where values, put together, would be too large.

    Raises:
        TooLarge: they would.
    """
    room = SizeBudget(most)
    for value in values:
        room.take_value(value)
