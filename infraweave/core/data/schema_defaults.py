"""Adds the defaults of a JSON Schema to a value.

JSON Schema leaves defaults to the reader of a value. A run has many readers (code, expressions, templates,
keys, maps), and all must see the same value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from infraweave.core.data.bounded_cache import BoundedCache
from infraweave.core.data.json_codec import canonical, dumps, loads
from infraweave.core.data.schema_cost import Cost, references, subschemas
from infraweave.core.data.values import Json, JsonObject

#: The most bytes that defaults may add to one value, and the most places that may be visited.
MAX_BYTES, MAX_PLACES = 1024 * 1024, 500_000
#: The longest chain of references to find the type of an alternative.
_MAX_CHAIN = 20
#: Keywords that lead to fields; other subschemas are skipped.
_LEADING = frozenset(
    {"$ref", "properties", "items", "prefixItems", "additionalProperties", "allOf", "anyOf", "oneOf"}
)


class Defaults:
    """The defaults of one schema."""

    def __init__(self, schema: JsonObject) -> None:
        self._root, self._resolve = schema, Cost(schema).resolve
        self.is_empty = not any(_declares(item) for item in subschemas(schema))

    def filled(self, value: Json) -> Json:
        """Return a copy of a value with the defaults of all missing fields.

        Alternatives count only where the type of the value leaves a single one.

        Raises:
            ValueError: the defaults are too large.
        """
        return value if self.is_empty else _Filling(self._resolve).at(self._root, value)


#: By the schema as JSON.
_kept: BoundedCache[bytes, Defaults] = BoundedCache(2 << 20)


def defaults_of(schema: JsonObject) -> Defaults:
    """Return the defaults of a schema, from the cache if the schema is known."""
    key = canonical(schema)
    found = _kept.get(key)
    if found is None:
        found = Defaults(loads(key))
        _kept.keep(key, found, len(key))
    return found


class _Filling:
    """One pass over one value."""

    def __init__(self, resolve: Any) -> None:
        self._resolve = resolve
        self._bytes, self._places = MAX_BYTES, MAX_PLACES

    def at(self, schema: Json, value: Json, around: tuple[int, ...] = ()) -> Json:
        """Return one part with defaults; ``around`` are the subschemas that led here at the same place."""
        if not _leads(schema) or not isinstance(value, dict | list) or id(schema) in around:
            return value
        self._places -= 1
        if self._places < 0:
            raise ValueError("is too large for the defaults of its schema")
        for same in self._same_place(schema, value):
            value = self.at(same, value, (*around, id(schema)))
        return self._fields(schema, value) if isinstance(value, dict) else self._items(schema, value)

    def _same_place(self, schema: dict[str, Any], value: Json) -> Iterator[Json]:
        yield from map(self._resolve, references(schema))
        yield from schema.get("allOf", ())
        for keyword in ("anyOf", "oneOf"):
            meant = [one for one in schema.get(keyword, ()) if self._may_be(one, value)]
            if len(meant) == 1:
                yield meant[0]

    def _may_be(self, schema: Json, value: Json) -> bool:
        for _ in range(_MAX_CHAIN):
            if isinstance(schema, dict) and "$ref" in schema:
                schema = self._resolve(schema["$ref"])
        if not isinstance(schema, dict):
            return schema is not False
        own = "object" if isinstance(value, dict) else "array"
        kinds = schema.get("type", own)
        return own in ([kinds] if isinstance(kinds, str) else kinds)

    def _fields(self, schema: dict[str, Any], value: dict[str, Json]) -> dict[str, Json]:
        fields = schema.get("properties", {})
        given = {name: self.at(fields.get(name, schema.get("additionalProperties")), part)
                 for name, part in value.items()}  # fmt: skip
        missing = {name: self._own(field["default"]) for name, field in fields.items()
                   if name not in value and isinstance(field, dict) and "default" in field}  # fmt: skip
        return {**given, **missing}

    def _items(self, schema: dict[str, Any], value: list[Json]) -> list[Json]:
        first, rest = schema.get("prefixItems", []), schema.get("items")
        if not first and not _leads(rest):
            return value
        return [self.at(first[n] if n < len(first) else rest, part) for n, part in enumerate(value)]

    def _own(self, default: Json) -> Json:
        """Return a copy of a default."""
        data = dumps(default)
        self._bytes -= len(data)
        if self._bytes < 0:
            raise ValueError(f"would have more than {MAX_BYTES:,} bytes of defaults")
        return loads(data)


def _declares(schema: dict[str, Any]) -> bool:
    fields = schema.get("properties")
    return isinstance(fields, dict) and any(isinstance(f, dict) and "default" in f for f in fields.values())


def _leads(schema: Json) -> bool:
    return isinstance(schema, dict) and not _LEADING.isdisjoint(schema)
