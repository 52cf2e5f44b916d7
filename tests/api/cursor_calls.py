"""Cursors with a known key, so that nothing is read from the database and nothing waits."""

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


def request(text: str | None = None, *, tenant: str = "default", **asked: Any) -> Any:
    """Return a request for a list, with what cursors read of it."""
    return SimpleNamespace(query=Query(text, **asked), principal=SimpleNamespace(tenant=tenant), path={})


def give(place: int, kind: str = "runs", key: bytes = KEY, **asked: Any) -> str:
    """Return the cursor of a position."""
    return _now(Cursors(engine=None, key=key).issue(kind, request(**asked), place))


def read(text: str, kind: str = "runs", **asked: Any) -> int | None:
    """Return the position of a cursor.

    Raises:
        InvalidCursor: this list did not issue it.
    """
    return _now(Cursors(engine=None, key=KEY).read(kind, request(text, **asked)))


def _now(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits for something")
