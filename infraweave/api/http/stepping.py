"""Runs a coroutine up to its first wait, in place of tasks and timers for what never waits."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any


def begin(work: Coroutine[Any, Any, Any]) -> Rest | None:
    """Run a coroutine up to its first wait; return the rest, which must be awaited, or None if it ended."""
    try:
        return Rest(work, work.send(None))
    except StopIteration:
        return None


class Rest:
    """The rest of a coroutine that waits. Awaiting it runs the coroutine to its end."""

    __slots__ = ("_waits_for", "_work")

    def __init__(self, work: Coroutine[Any, Any, Any], waits_for: Any) -> None:
        self._work, self._waits_for = work, waits_for
        # ``await`` calls ``__next__`` first: it hands on what the coroutine has asked for already.

    def __await__(self) -> Generator[Any, Any, Any]:
        return self  # it has the methods that ``await`` calls

    def __iter__(self) -> Rest:
        return self

    def __next__(self) -> Any:
        if (waits_for := self._waits_for) is not _HANDED_ON:
            self._waits_for = _HANDED_ON
            return waits_for
        return self._work.send(None)

    def send(self, value: Any) -> Any:
        """Continue the coroutine up to its next wait."""
        return self._work.send(value)

    def throw(self, *error: Any) -> Any:
        """Raise an error where the coroutine waits."""
        return self._work.throw(*error)

    def close(self) -> None:
        """End the coroutine."""
        self._work.close()


_HANDED_ON = object()
