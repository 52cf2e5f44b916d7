"""Tells whether values of one JSON Schema can be valid for another. Compares types, not constraints.

In doubt the answer is yes: a schema without a type, or with keywords that are not understood here, fits
everything. Enumerations differ if they share no value. Patterns, formats and ranges are checked in the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from infraweave.core.data.type_schema import is_decimal
from infraweave.core.data.values import Json, to_pointer

Schema: TypeAlias = dict[str, Any]

_ANYTHING: Schema = {}
_TYPES = ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (type(None), "null"))
_ARTICLES = {"array": "an array", "integer": "an integer", "null": "null", "object": "an object"}
_Path: TypeAlias = tuple[str | int, ...]


class Mismatch(NamedTuple):
    """Where two schemas differ, as a JSON Pointer into the value, and the two types in words."""

    path: str
    given: str
    wanted: str


def find_mismatch(given: Json, wanted: Json) -> Mismatch | None:
    """Return where values of the schema ``given`` can be invalid for ``wanted``; None if nowhere."""
    return next(_Comparison(given, wanted).between(given, wanted, ()), None)


def alternatives(schema: Json) -> list[Json]:
    """Return the alternatives of a union as complete schemas; of another schema, the schema itself."""
    return [_rooted(option, schema) for option in _alternatives(schema, schema)]


def part(schema: Json, way: Sequence[str]) -> Json:
    """Return the schema of the value at a path of keys; ``{}`` where it is not known."""
    here = schema
    for key in way:
        options = _alternatives(here, schema)
        here = options[0].get("properties", {}).get(key, _ANYTHING) if len(options) == 1 else _ANYTHING
    return _rooted(here, schema)


def items(schema: Json) -> Json:
    """Return the schema of the items of a list; ``{}`` where that is not known."""
    options = _alternatives(schema, schema)
    found = options[0].get("items", _ANYTHING) if len(options) == 1 else _ANYTHING
    return _rooted(found, schema)


def _rooted(schema: Json, root: Json) -> Json:
    """Return a part of a schema with the definitions that it may refer to."""
    if not isinstance(schema, dict):
        return _ANYTHING
    if schema.get("$ref") == "#":
        return root
    return {**schema, "$defs": root["$defs"]} if "$defs" in root else schema


class _Comparison:
    """One comparison. Each pair of schemas is compared once, because classes can contain themselves."""

    def __init__(self, given: Json, wanted: Json) -> None:
        self._given, self._wanted = given, wanted
        self._seen: set[tuple[int, int]] = set()

    def between(self, given: Json, wanted: Json, path: _Path) -> Iterator[Mismatch]:
        pair = id(given), id(wanted)
        if pair in self._seen:
            return
        self._seen.add(pair)
        takes = _alternatives(wanted, self._wanted)
        for gives in _alternatives(given, self._given):
            faults = [next(self._one(gives, take, path), None) for take in takes]
            if None not in faults:
                same = [
                    fault
                    for fault, take in zip(faults, takes, strict=True)
                    if fault is not None and set(_types(gives)) & set(_types(take))
                ]
                whole = _spell(_alternatives(given, self._given))
                yield same[0] if len(same) == 1 else Mismatch(to_pointer(path), whole, _spell(takes))

    def _one(self, given: Schema, wanted: Schema, path: _Path) -> Iterator[Mismatch]:
        gives, takes = _types(given), _types(wanted)
        numbers = "number" in takes or is_decimal(wanted)
        taken = {*takes, "integer", "number"} if numbers else set(takes)
        if takes and not taken.issuperset(gives):
            yield Mismatch(to_pointer(path), _spell([given]), _spell([wanted]))
        elif _values(given) and _values(wanted) and not any(v in _values(wanted) for v in _values(given)):
            yield Mismatch(to_pointer(path), *(f"one of {_values(each)}"[:200] for each in (given, wanted)))
        elif "object" in gives and "object" in takes:
            yield from self._objects(given, wanted, path)
        elif "array" in gives and "array" in takes:
            yield from self._arrays(given, wanted, path)

    def _objects(self, given: Schema, wanted: Schema, path: _Path) -> Iterator[Mismatch]:
        has, takes = given.get("properties"), wanted.get("properties", {})
        if has is None:
            both = given.get("additionalProperties"), wanted.get("additionalProperties")
            if isinstance(both[0], dict) and isinstance(both[1], dict):
                yield from self.between(*both, (*path, "*"))
            return
        for name in wanted.get("required", ()):
            if name not in has and not given.get("additionalProperties"):
                yield Mismatch(to_pointer((*path, name)), "nothing", _spell([takes.get(name, _ANYTHING)]))
        others = wanted.get("additionalProperties", _ANYTHING)
        for name, schema in has.items():
            if name in takes or isinstance(others, dict):
                yield from self.between(schema, takes.get(name, others), (*path, name))
            elif others is False:
                yield Mismatch(to_pointer((*path, name)), _spell([schema]), "no such field")

    def _arrays(self, given: Schema, wanted: Schema, path: _Path) -> Iterator[Mismatch]:
        first, second = given.get("prefixItems"), wanted.get("prefixItems")
        if first is not None and second is not None and len(first) != len(second):
            yield Mismatch(to_pointer(path), f"{len(first)} items", f"{len(second)} items")
        for place in range(len(first or second or ())):
            one = first[place] if first else given.get("items", _ANYTHING)
            other = second[place] if second else wanted.get("items", _ANYTHING)
            yield from self.between(one, other, (*path, place))
        if first is second is None:
            one, other = given.get("items", _ANYTHING), wanted.get("items", _ANYTHING)
            yield from self.between(one, other, (*path, "*"))


def _alternatives(schema: Json, root: Json, around: tuple[str, ...] = ()) -> list[Schema]:
    """Return the plain schemas that a schema stands for; ``[{}]`` where it may be anything."""
    if not isinstance(schema, dict) or any(key in schema for key in ("allOf", "not", "if", "$dynamicRef")):
        return [_ANYTHING]
    if (reference := schema.get("$ref")) is not None:
        if reference in around:
            return [_ANYTHING]
        return _alternatives(_target(reference, root), root, (*around, reference))
    several = schema.get("anyOf", schema.get("oneOf"))
    if several is None:
        return [schema]
    return [plain for option in several for plain in _alternatives(option, root, around)]


def _target(reference: str, root: Json) -> Json:
    if reference == "#":
        return {key: value for key, value in root.items() if key != "$ref"}
    return root.get("$defs", {}).get(reference.removeprefix("#/$defs/"), _ANYTHING)


def _types(schema: Schema) -> tuple[str, ...]:
    """Return the JSON types of a plain schema; none where it may be anything."""
    named = schema.get("type")
    if named is not None:
        return (named,) if isinstance(named, str) else tuple(named)
    kinds = (next((name for kind, name in _TYPES if isinstance(v, kind)), None) for v in _values(schema))
    return tuple(dict.fromkeys(kind for kind in kinds if kind is not None))


def _values(schema: Schema) -> list[Json]:
    """Return the values that a schema enumerates; empty if it enumerates none."""
    return [schema["const"]] if "const" in schema else list(schema.get("enum", ()))


def _spell(schemas: Sequence[Schema]) -> str:
    kinds = dict.fromkeys(kind for schema in schemas for kind in _types(schema))
    return " or ".join(_ARTICLES.get(kind, f"a {kind}") for kind in kinds) or "a value"
