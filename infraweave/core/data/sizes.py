"""The size of a value, computed before it is built from others.

A document of a few kilobytes can repeat an input of a few megabytes eight hundred times. References to the
parts cost nothing, but copying, joining or encoding the whole takes gigabytes. So code that combines parts
adds up their sizes first.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import NoneType

from attrs import field

from infraweave.core.data.json_codec import dumps
from infraweave.core.data.values import Json
from infraweave.core.records import define

#: Bytes as JSON of a node's input, of the body that an http node sends, and of the result of a map or a run.
MAX_VALUE_BYTES = 16 * 2**20
#: Characters of a rendered template: a prompt, a concurrency key, a part of an input.
MAX_TEXT = 2**20
#: The values whose size is estimated. A tuple, as ``int | float`` in a hot place makes a type each time.
_SMALL = (NoneType, bool, int, float)


class TooLarge(ValueError):
    """The combined value would exceed its limit."""


def json_size(value: Json) -> int:
    """Return the size of a value as JSON in bytes; small values are estimated."""
    return 8 if isinstance(value, _SMALL) else len(dumps(value))


@define
class SizeBudget:
    """The bytes that are left for the parts of one value. Each part is measured only once."""

    most: int = MAX_VALUE_BYTES
    _taken: int = 0
    #: Sizes by identity; keeping the value keeps its identity from being reused.
    _known: dict[int, tuple[Json, int]] = field(factory=dict)

    def take(self, size: int) -> None:
        """Use ``size`` bytes of the budget.

        Raises:
            TooLarge: the budget is exceeded.
        """
        self._taken += size
        if self._taken > self.most:
            raise TooLarge(f"it would have more than {self.most:,} bytes as JSON")

    def take_value(self, value: Json) -> None:
        """Use the bytes of a value; a value that was measured before is not encoded again.

        Raises:
            TooLarge: the budget is exceeded.
        """
        if id(value) not in self._known:
            self._known[id(value)] = value, json_size(value)
        self.take(self._known[id(value)][1])


def check_size(values: Iterable[Json], most: int = MAX_VALUE_BYTES) -> None:
    """Check that values are not too large together.

    Raises:
        TooLarge: their total size exceeds ``most``.
    """
    room = SizeBudget(most)
    for value in values:
        room.take_value(value)
