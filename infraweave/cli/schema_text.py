"""Describes JSON Schemas for people at a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

Schema = Mapping[str, Any]

#: The most references followed in a row. A longer chain is taken for a circle.
_MOST_REFERENCES = 20
#: Limits of a description: levels, members of a level, characters.
_LEVELS, _MEMBERS, _CHARACTERS = 4, 16, 1000
_WORDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true | false"}
ANY = "any JSON"


def resolve(schema: Any, root: Any) -> Schema:
    """Return a schema with its references into ``root`` resolved.

    A union with null becomes its other member, marked with ``nullable``.
    """
    nullable = False
    for _ in range(_MOST_REFERENCES):
        if not isinstance(schema, Mapping):
            return {}
        step = _follow(schema, root)
        if step is None:
            return {**schema, "nullable": True} if nullable else schema
        schema, null = step
        nullable = nullable or null
    return {}


def _follow(schema: Schema, root: Any) -> tuple[Schema, bool] | None:
    """Follow one reference; return its target and whether null is valid too, or None if there is none."""
    either = "anyOf" if "anyOf" in schema else "oneOf"
    match schema:
        case {"$ref": str(reference)} if reference.startswith("#"):
            return {**_found(reference, root), **_without(schema, "$ref")}, False
        case {"allOf": [Mapping() as only]}:
            return {**only, **_without(schema, "allOf")}, False
        case {"type": [*kinds]} if len(real := [kind for kind in kinds if kind != "null"]) == 1:
            return {**schema, "type": real[0]}, len(kinds) > 1
    parts = [part for part in schema.get(either, ()) if part != {"type": "null"}]
    if len(parts) != 1 or not isinstance(parts[0], Mapping):
        return None
    return {**parts[0], **_without(schema, either)}, len(schema[either]) > 1


def _without(schema: Schema, name: str) -> Schema:
    return {each: value for each, value in schema.items() if each != name}


def _found(reference: str, root: Any) -> Schema:
    for part in reference.split("/")[1:]:
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        root = root.get(name) if isinstance(root, Mapping) else None
    return root if isinstance(root, Mapping) else {}


def describe_schema(schema: Any, root: Any) -> str:
    """Describe the values of a schema: ``{"name": text, "lines"?: [whole number, …]}``."""
    shape = _shape(schema, root, _LEVELS)
    return shape if len(shape) <= _CHARACTERS else f"{shape[:_CHARACTERS]}…"


def _shape(schema: Any, root: Any, levels: int) -> str:
    found = resolve(schema, root)
    shape = _describe(found, root, levels - 1) if levels else "…"
    return f"{shape} | null" if found.get("nullable") and shape != ANY else shape


def _describe(schema: Schema, root: Any, levels: int) -> str:
    match schema:
        case {"const": value}:
            return json.dumps(value)
        case {"enum": [*values]}:
            return " | ".join(map(json.dumps, values[:_MEMBERS]))
        case {"anyOf": [*parts]} | {"oneOf": [*parts]}:
            return " | ".join(_shape(part, root, levels) for part in parts[:_MEMBERS])
        case {"type": [*kinds]}:
            return " | ".join(_shape({"type": kind}, root, levels) for kind in kinds)
        case {"type": "object"} | {"properties": Mapping()}:
            return _object(schema, root, levels)
        case {"prefixItems": [*parts]}:
            return f"[{', '.join(_shape(part, root, levels) for part in parts[:_MEMBERS])}]"
        case {"type": "array"}:
            return f"[{_shape(schema.get('items'), root, levels)}, …]"
        case {"type": str(kind)}:
            return _WORDS.get(kind, kind)
    return ANY


def _object(schema: Schema, root: Any, levels: int) -> str:
    needed = schema.get("required", ())
    parts: Iterable[tuple[str, Any]] = list(schema.get("properties", {}).items())[:_MEMBERS]
    members = [
        f"{json.dumps(name)}{'' if name in needed else '?'}: {_shape(part, root, levels)}"
        for name, part in parts
    ]
    others = schema.get("additionalProperties", not members)
    if others:
        members.append(f"…: {_shape(others, root, levels)}")
    return f"{{{', '.join(members)}}}"
