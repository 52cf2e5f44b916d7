"""The text of an exception, or of the members of an exception group.

An author's exception class may raise anything when it is asked for its text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

#: Members of a group that are named, and that are looked at.
_NAMED, _MAX_MEMBERS = 3, 1_000


def describe(error: BaseException) -> str:
    """Return an exception's class and text; for a group, also those of its first members."""
    if not isinstance(error, BaseExceptionGroup):
        return _class_and_text(error)
    found = leaves(error)
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"{_class_and_text(error)}: {'; '.join(_class_and_text(one) for one in found[:_NAMED])}{more}"


def _class_and_text(error: BaseException) -> str:
    name, text = type(error).__name__, text_of(error)
    return f"{name}: {text}" if text else name


def leaves(error: BaseException) -> list[BaseException]:
    """Return the exceptions in a group, at any depth, in order; or the exception itself."""
    return ask(lambda group: list(_leaves(group)), error, [error])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    pending = [error]
    for _ in range(_MAX_MEMBERS):
        if not pending:
            return
        one = pending.pop()
        if isinstance(one, BaseExceptionGroup):
            pending += reversed(one.exceptions)
        else:
            yield one


def text_of(error: BaseException) -> str:
    """Return the text of an exception; empty if it has none or fails to return it."""
    return ask(str, error, "")


def ask(question: Callable[[BaseException], T], error: BaseException, default: T) -> T:
    """Return ``question(error)``, or ``default`` if that raises."""
    try:
        return question(error)
    except BaseException:  # noqa: BLE001 - the failure itself must still be reported
        return default
