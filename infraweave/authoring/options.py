"""Reads what authors gave to decorators; what is wrong with it is collected, not raised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from attrs import evolve

from infraweave.authoring.declarations import Node as DeclaredNode
from infraweave.authoring.declarations import Wait, name_of
from infraweave.core.document import Retry
from infraweave.core.shape import schema_of
from infraweave.core.values import Duration, Json, seconds

ONCE = Retry(max_attempts=1)
#: More is a mistake; whoever wants a node tried for ever means a loop or a timer.
_MOST_ATTEMPTS = 1_000_000
#: What stands for a node's name; of enums the value.
NAMED = (str, DeclaredNode, Wait, Enum)


class Options:
    """The readers, and the faults found so far."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def schema(self, name: str, shape: Any, default: Json) -> Json:
        """Return a JSON Schema, derived where a class was given."""
        if shape is None or isinstance(shape, Mapping):
            return default if shape is None else dict(shape)
        try:
            return schema_of(shape)
        except TypeError as error:
            self.faults.append(f"{name}: no JSON Schema can be derived: {error}")
            return default

    def text(self, option: str, given: Any) -> str:
        """Return what must be text."""
        if not isinstance(given, str):
            self.faults.append(f"{option} is {given!r:.100}; expected text")
        return str(given)

    def duration(self, name: str, option: str, duration: Duration | None) -> float | None:
        """Return a duration in seconds."""
        if duration is None:
            return None
        try:
            return seconds(duration)
        except ValueError as error:
            self.faults.append(f"{name}: {option}: {error}")
            return None

    def retry(self, name: str, retry: Any) -> Retry:
        """Return how failures are retried."""
        if retry is None:
            return ONCE
        if not isinstance(retry, Retry):
            self.faults.append(f"{name}: retry={retry!r}; expected Retry(…) or None")
            return ONCE
        if isinstance(retry.max_attempts, bool) or not isinstance(retry.max_attempts, int):
            self.faults.append(
                f"{name}: retry.max_attempts is {retry.max_attempts!r}; expected a whole number"
            )
            return ONCE
        if retry.max_attempts > _MOST_ATTEMPTS:
            self.faults.append(f"{name}: retry.max_attempts is more than {_MOST_ATTEMPTS:,}")
            return ONCE
        if isinstance(retry.factor, bool) or not isinstance(retry.factor, int | float):
            self.faults.append(f"{name}: retry.factor is {retry.factor!r}; expected a number")
            return ONCE
        return evolve(
            retry,
            initial=self._delay(name, "initial", retry.initial),
            factor=float(retry.factor),
            maximum=self._delay(name, "maximum", retry.maximum),
        )

    def _delay(self, name: str, option: str, delay: Any) -> float:
        return self.duration(name, f"retry.{option}", delay) or 0.0

    def named(self, name: str, option: str, given: Any) -> tuple[str, ...]:
        """Return the names of some nodes; one alone is taken for a list of one."""
        nodes = [given] if isinstance(given, NAMED) else given
        if not isinstance(nodes, Iterable):
            nodes = [nodes]
        names = []
        for node in nodes:
            if isinstance(node, NAMED):
                names.append(name_of(node))
            else:
                self.faults.append(f"{name}: {option} has {node!r:.100}; expected nodes or their names")
        return tuple(names)

    def choice(self, name: str, option: str, given: Any, choices: tuple[str, ...]) -> Any:
        """Return one of some words."""
        if given not in choices:
            self.faults.append(f"{name}: {option}={given!r:.100}; expected {' or '.join(map(repr, choices))}")
            return choices[0]
        return given

    def number(self, name: str, option: str, given: Any) -> int:
        """Return what must be a whole number."""
        if isinstance(given, bool) or not isinstance(given, int):
            self.faults.append(f"{name}: {option} is {given!r:.100}; expected a whole number")
            return 1
        return given
