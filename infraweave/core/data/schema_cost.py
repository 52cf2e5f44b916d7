"""An upper bound for the cost of a JSON Schema, which the validator checks before it begins.

Alternatives multiply. If several branches of a schema descend into the same field, directly or through
``$ref``, each level of the value doubles the work. The bound counts how often one part of a value can be
visited. It adds the subschemas that apply to the same part, and takes the maximum of those for different
fields below it. Multiplied by the number of parts of a value, it bounds the whole check.

The same count bounds other costs: a function returns the cost of each subschema at one part, for example
options to compare or errors to list.

References may only be ``#``, ``#/…`` and ``#anchor``; nothing outside the schema is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote

from infraweave.core.data.values import Json

#: The most subschemas; counting more would take seconds.
MAX_SUBSCHEMAS = 10_000
#: The longest chain of references.
_MAX_CHAIN = 100
#: A cost above every budget.
BOUNDLESS = 10**18

_SAME_PLACE_LISTS = ("allOf", "anyOf", "oneOf")
_SAME_PLACE = ("not", "if", "then", "else")
_BELOW = (
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "items",
    "additionalItems",
    "unevaluatedItems",
    "contains",
)
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
#: Keywords with data or names instead of schemas.
_DATA = frozenset({"const", "enum", "default", "examples", "required", "type", "$vocabulary"})
#: Keywords with an object of named subschemas.
_NAMED = frozenset(
    {"$defs", "definitions", "properties", "patternProperties", "dependentSchemas", "dependencies"}
)


def subschemas(schema: Json) -> Iterator[dict[str, Any]]:
    """Yield the schema, and every object in it that may be a subschema."""
    waiting = [schema]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            for key, value in item.items():
                if key in _NAMED:
                    waiting.extend(_dict(value).values())
                elif key not in _DATA:
                    waiting.append(value)
        elif isinstance(item, list):
            waiting.extend(item)


def references(schema: dict[str, Any]) -> Iterator[str]:
    """Yield the references of one subschema."""
    for keyword in _REFERENCES:
        if isinstance(reference := schema.get(keyword), str):
            yield reference


def comparisons(item: dict[str, Any]) -> int:
    """Return the visits of one part by one subschema: lists and objects among its constants are compared."""
    options = [*_list(item.get("enum")), item.get("const")]
    return 1 + sum(_parts(option) for option in options if isinstance(option, dict | list))


def errors(item: dict[str, Any]) -> int:
    """Return how many errors one subschema can have at one part, without those of its subschemas."""
    needed = [item.get("required"), *_dict(item.get("dependentRequired")).values()]
    needed += _dict(item.get("dependencies")).values()
    return len(item) + sum(len(_list(names)) for names in needed)


def _parts(value: Json) -> int:
    if not isinstance(value, dict | list):
        return 1
    return 1 + sum(map(_parts, value.values() if isinstance(value, dict) else value))


class _Plan(NamedTuple):
    """The subschemas of one subschema: for the same part, for one field each, and for every field."""

    same: list[dict[str, Any]]
    fields: list[int]
    every: list[int]
    #: Unevaluated keywords visit a second time.
    times: int
    #: The cost of the subschema itself.
    own: int


class Cost:
    """The bound for one schema, computed once for each level of the value."""

    def __init__(self, schema: Json, own: Callable[[dict[str, Any]], int] = lambda _: 1) -> None:
        self._root, self._own = schema, own
        self._all = {id(item): item for item in subschemas(schema)}
        self._anchors = {
            str(item[key]): item
            for item in self._all.values()
            for key in ("$anchor", "$dynamicAnchor")
            if key in item
        }
        self._plans: dict[int, _Plan] = {}
        #: For each depth of the value: the cost of each subschema, by identity.
        self._levels: list[dict[int, int]] = []
        self._settled = len(self._all) > MAX_SUBSCHEMAS or not self._all

    @property
    def widest(self) -> int:
        """The most visits of one part of a value by any subschema."""
        self.at(0)
        return max(self._levels[0].values(), default=1) if self._levels else self.at(0)

    def at(self, depth: int) -> int:
        """Return the most visits of one part of a value that is nested ``depth`` levels."""
        while len(self._levels) <= depth and not self._settled:
            self._add_level()
        if not self._levels:
            return BOUNDLESS if self._all else 1
        return self._levels[min(depth, len(self._levels) - 1)][id(self._root)]

    @property
    def is_settled(self) -> bool:
        """Whether deeper values cost no more than those so far."""
        return self._settled

    def resolve(self, reference: str) -> Json:
        """Return the subschema that a local reference names, or None."""
        if not reference.startswith("#"):
            return None
        fragment = unquote(reference[1:])
        if fragment and not fragment.startswith("/"):
            return self._anchors.get(fragment)
        target = _walk(self._root, fragment.split("/")[1:])
        return target if isinstance(target, bool) or id(target) in self._all else None

    def _add_level(self) -> None:
        below = self._levels[-1] if self._levels else dict.fromkeys(self._all, 1)
        level: dict[int, int] = {}
        for key in self._all:
            self._here(key, below, level, 0)
        self._settled = level == below or level[id(self._root)] >= BOUNDLESS
        self._levels.append(level)

    def _here(self, key: int, below: dict[int, int], level: dict[int, int], chain: int) -> int:
        """Return the cost of one subschema at one part, and store it in ``level``."""
        if (known := level.get(key)) is not None:
            return known
        if chain > _MAX_CHAIN:
            return BOUNDLESS
        level[key] = 1  # a reference to itself at the same part adds nothing
        plan = self._plans.get(key) or self._plan(key)
        same = sum(self._here(id(sub), below, level, chain + 1) for sub in plan.same)
        one = max((below[field] for field in plan.fields), default=0)
        cost = plan.own + plan.times * same + one + sum(below[field] for field in plan.every)
        level[key] = min(BOUNDLESS, cost)
        return level[key]

    def _plan(self, key: int) -> _Plan:
        item = self._all[key]
        fields = [*_dict(item.get("properties")).values(), *_list(item.get("prefixItems"))]
        every = [item.get(keyword) for keyword in _BELOW]
        every += _dict(item.get("patternProperties")).values()
        plan = _Plan(
            same=[sub for sub in self._same_place(item) if isinstance(sub, dict)],
            fields=[id(sub) for sub in fields if isinstance(sub, dict)],
            every=[id(sub) for sub in every if isinstance(sub, dict)],
            times=2 if "unevaluatedProperties" in item or "unevaluatedItems" in item else 1,
            own=self._own(item),
        )
        self._plans[key] = plan
        return plan

    def _same_place(self, item: dict[str, Any]) -> Iterator[Json]:
        for keyword in _SAME_PLACE_LISTS:
            yield from _list(item.get(keyword))
        for keyword in _SAME_PLACE:
            yield item.get(keyword)
        for keyword in ("dependentSchemas", "dependencies"):
            yield from _dict(item.get(keyword)).values()
        for reference in references(item):
            yield self.resolve(reference)


def _walk(here: Json, parts: list[str]) -> Json:
    for part in parts:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(here, list) and key.isdecimal() and int(key) < len(here):
            here = here[int(key)]
        elif isinstance(here, dict):
            here = here.get(key)
        else:
            return None
    return here


def _list(value: Json) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Json) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
