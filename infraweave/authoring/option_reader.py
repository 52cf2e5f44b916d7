"""Reads the options of decorators. Faults are collected, not raised."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from enum import Enum
from typing import Any

from attrs import evolve

from infraweave.authoring.declarations import DeclaredNode, DeclaredWait, name_of
from infraweave.core.data.model_libraries import library_of
from infraweave.core.data.type_schema import schema_of
from infraweave.core.data.values import Duration, Json, to_seconds
from infraweave.core.workflow.document import Concurrency, Retry
from infraweave.errors import Fault

ONCE = Retry(max_attempts=1)
#: A larger number is a mistake. To repeat a node for ever, use a loop or a timer.
_MOST_ATTEMPTS = 1_000_000
#: Types that stand for a node's name. An enum member stands for its value.
NAMED = (str, DeclaredNode, DeclaredWait, Enum)


class OptionReader:
    """Readers for each kind of option, with the faults found so far."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._path = ""
        #: Classes of pydantic or msgspec that were given as a schema, by their option.
        self.models: dict[str, Any] = {}

    @contextmanager
    def at(self, path: str) -> Iterator[None]:
        """Let the faults that are found meanwhile lead into a part of the document, a JSON Pointer."""
        before, self._path = self._path, path
        yield
        self._path = before

    def fault(self, message: str, field: str = "") -> None:
        """Add a fault of what is being read; ``field`` leads on from there."""
        self.faults.append(Fault(self._path + field, "declaration", message))

    def schema(self, name: str, shape: Any, default: Json, *, closed: bool = False) -> Json:
        """Return a JSON Schema, derived if a class was given; see ``schema_of``."""
        if shape is None or isinstance(shape, Mapping):
            return default if shape is None else dict(shape)
        if library_of(shape) is not None:
            self.models[name] = shape
        try:
            return schema_of(shape, closed=closed)
        except TypeError as error:
            self.fault(
                f"{name}: no JSON Schema can be derived: {error}", "/input_schema" if closed else "/schema"
            )
            return default

    def limits(self, given: Any) -> tuple[Concurrency, ...]:
        """Return concurrency limits from a number, a limit or a list of them."""
        several = given if isinstance(given, list | tuple) else [given]
        limits = [limit if isinstance(limit, Concurrency) else Concurrency(limit) for limit in several]
        return tuple(limit for limit in limits if self._is_limit(limit))

    def _is_limit(self, limit: Any) -> bool:
        if isinstance(limit.limit, bool) or not isinstance(limit.limit, int):
            fault = f"is {limit.limit!r:.100}; expected a whole number or Concurrency(…)"
        elif limit.key is not None and not isinstance(limit.key, str):
            fault = f": key is {limit.key!r:.100}; expected text"
        elif limit.when_full not in ("queue", "reject"):
            fault = f": when_full is {limit.when_full!r:.100}; expected 'queue' or 'reject'"
        else:
            return True
        self.fault(f"concurrency{'' if fault.startswith(':') else ' '}{fault}", "/concurrency")
        return False

    def text(self, option: str, given: Any) -> str:
        """Return a text option."""
        if not isinstance(given, str):
            self.fault(f"{option} is {given!r:.100}; expected text")
        return str(given)

    def duration(self, name: str, option: str, duration: Duration | None) -> float | None:
        """Return a duration in seconds."""
        if duration is None:
            return None
        try:
            return to_seconds(duration)
        except ValueError as error:
            self.fault(f"{name}: {option}: {error}", _field(option))
            return None

    def retry(self, name: str, retry: Any) -> Retry:
        """Return a retry policy."""
        if retry is None:
            return ONCE
        if not isinstance(retry, Retry):
            self.fault(f"{name}: retry={retry!r}; expected Retry(…) or None", "/retry")
            return ONCE
        if isinstance(retry.max_attempts, bool) or not isinstance(retry.max_attempts, int):
            self.fault(
                f"{name}: retry.max_attempts is {retry.max_attempts!r}; expected a whole number",
                "/retry/max_attempts",
            )
            return ONCE
        if retry.max_attempts > _MOST_ATTEMPTS:
            self.fault(f"{name}: retry.max_attempts is more than {_MOST_ATTEMPTS:,}", "/retry/max_attempts")
            return ONCE
        if isinstance(retry.factor, bool) or not isinstance(retry.factor, int | float):
            self.fault(f"{name}: retry.factor is {retry.factor!r}; expected a number", "/retry/factor")
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
        """Return node names from a node, a name, or a collection of them."""
        nodes = [given] if isinstance(given, NAMED) else given
        if not isinstance(nodes, Iterable):
            nodes = [nodes]
        if isinstance(nodes, AbstractSet):  # sorted, because the order of a set differs between processes
            nodes = sorted(nodes, key=lambda node: name_of(node) if isinstance(node, NAMED) else repr(node))
        names = []
        for node in nodes:
            if isinstance(node, NAMED):
                names.append(name_of(node))
            else:
                self.fault(
                    f"{name}: {option} has {node!r:.100}; expected nodes or their names", _field(option)
                )
        return tuple(names)

    def choice(self, name: str, option: str, given: Any, choices: tuple[str, ...]) -> Any:
        """Return one of the choices."""
        if given not in choices:
            self.fault(
                f"{name}: {option}={given!r:.100}; expected {' or '.join(map(repr, choices))}", _field(option)
            )
            return choices[0]
        return given

    def number(self, name: str, option: str, given: Any) -> int:
        """Return a whole number."""
        if isinstance(given, bool) or not isinstance(given, int):
            self.fault(f"{name}: {option} is {given!r:.100}; expected a whole number", _field(option))
            return 1
        return given


def _field(option: str) -> str:
    return "/" + option.replace(".", "/")
