"""Reads the options of ``flow.http``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infraweave.core.workflow.document import Request


def request_from_author(given: Mapping[str, Any]) -> Request:
    """Return the request that the options describe.

    Raises:
        TypeError: an option has the wrong type.
    """
    for option in ("method", "url"):
        if not isinstance(given[option], str):
            raise TypeError(f"{option} is {given[option]!r:.100}; expected text")
    for option in ("headers", "query"):
        if not isinstance(given[option], Mapping) or not all(isinstance(name, str) for name in given[option]):
            raise TypeError(f"{option} is {given[option]!r:.100}; expected a mapping of names to values")
    for name in (name for name, text in given["headers"].items() if not isinstance(text, str)):
        raise TypeError(f"header {name}: expected text")
    for option in ("follow_redirects", "max_bytes"):
        _expect_whole(option, given[option])
    accept = given["accept"] if isinstance(given["accept"], list | tuple) else [given["accept"]]
    for status in accept:
        _expect_whole("accept", status)
    return Request(**{**given, "accept": tuple(accept)})


def _expect_whole(option: str, given: Any) -> None:
    if isinstance(given, bool) or not isinstance(given, int):
        raise TypeError(f"{option} has {given!r:.100}; expected a whole number")
