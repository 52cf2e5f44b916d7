"""What an exception says of itself, as people read it; of a group, what its members say.

Its class may be an author's, and raise anything when it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

#: How many members of a group are told, and how many are looked at.
_TOLD, _SEEN = 3, 1_000


def describe(error: BaseException) -> str:
    """Return an exception's class and text; for a group, also those of its first members."""
    if not isinstance(error, BaseExceptionGroup):
        return _own(error)
    found = leaves(error)
    more = f"; and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
    return f"{_own(error)}: {'; '.join(_own(one) for one in found[:_TOLD])}{more}"


def _own(error: BaseException) -> str:
    name, text = type(error).__name__, said(error)
    return f"{name}: {text}" if text else name


def leaves(error: BaseException) -> list[BaseException]:
    """Return the exceptions that a group holds, at any depth, in order; else the exception itself."""
    return asked(lambda group: list(_leaves(group)), error, [error])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    waiting = [error]
    for _ in range(_SEEN):
        if not waiting:
            return
        one = waiting.pop()
        if isinstance(one, BaseExceptionGroup):
            waiting += reversed(one.exceptions)
        else:
            yield one


def said(error: BaseException) -> str:
    """Return the text of an exception; empty where it has none, or fails to tell."""
    return asked(str, error, "")


def asked(ask: Callable[[BaseException], T], error: BaseException, otherwise: T) -> T:
    """Return what an exception says of itself, or ``otherwise`` where it raises in turn."""
    try:
        return ask(error)
    except BaseException:  # noqa: BLE001 - the failure that it was asked about is told all the same
        return otherwise
