"""Cursors by themselves: with a key that is known already, so that nothing is read and nothing waited for."""

from __future__ import annotations

from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

from attrs import frozen

from infraweave.api.http.cursors import Cursors

KEY = bytes(32)


@frozen
class Query:
    cursor: str | None = None
    state: str | None = None
    limit: int = 50


def call(text: str | None = None, *, tenant: str = "default", **asked: Any) -> Any:
    """Return the call of a list, as far as cursors look at it."""
    return SimpleNamespace(query=Query(text, **asked), principal=SimpleNamespace(tenant=tenant), path={})


def give(place: int, kind: str = "runs", key: bytes = KEY, **asked: Any) -> str:
    """Return the cursor of a place."""
    return _now(Cursors(engine=None, key=key).give(kind, call(**asked), place))


def read(text: str, kind: str = "runs", **asked: Any) -> int | None:
    """Return the place of a cursor.

    Raises:
        InvalidCursor: this list has not given it.
    """
    return _now(Cursors(engine=None, key=KEY).read(kind, call(text, **asked)))


def _now(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")
