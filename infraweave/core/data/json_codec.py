"""Reading and writing JSON: one encoder, one canonical form, and a strict parser for JSON from outside."""

from __future__ import annotations

import gc
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import orjson

from infraweave.core.data.values import Json

#: The deepest nesting of JSON in a request.
MAX_DEPTH = 64
#: The deepest nesting of a value in a run. A map, a result, an event and a response each wrap values in a few
#: more levels; orjson writes 254 at most.
MAX_LEVELS = 200
_LEVELS_AROUND = 254 - MAX_LEVELS
_INT64 = 2**63
#: From this size in bytes and this number of lists and objects on, garbage collection is suspended.
_LARGE, _MANY = 64 * 1024, 50_000
_ENDS_OF_KEYS = re.compile(rb'"\s*:')
#: Matches every float that may be a whole number, and some texts.
_WHOLE = re.compile(rb"\d(?:\.0|e)")
_LONG_NUMBER = re.compile(rb"\d{19}")


def dumps(value: Json) -> bytes:
    """Return ``value`` as JSON.

    Raises:
        TypeError: it contains something that JSON cannot represent.
    """
    return orjson.dumps(value)


def dump_objects(value: Any, fields_of: Callable[[Any], Json]) -> bytes:
    """Return ``value`` as JSON; ``fields_of`` returns what stands for an object that is not JSON.

    Raises:
        TypeError: it contains something that JSON cannot represent.
    """
    return orjson.dumps(value, default=fields_of)


def embedded(text: str) -> Any:
    """Return JSON that ``dumps`` wrote as a value that it writes unchanged."""
    return orjson.Fragment(text)


def measured(value: Json) -> int:
    """Return the size in bytes of a value as JSON, after a check that it can be stored and sent.

    Raises:
        TypeError: JSON cannot represent it.
        ValueError: it is nested deeper than ``MAX_LEVELS``.
    """
    data = orjson.dumps(value)
    check_levels(data, value)
    return len(data)


def check_levels(data: bytes, value: Json) -> None:
    """Check that a value, whose JSON is ``data``, is not nested too deep.

    Raises:
        ValueError: it is nested deeper than ``MAX_LEVELS``.
    """
    if data.count(b"[") + data.count(b"{") > MAX_LEVELS:  # each level has at least one
        try:
            for _ in range(_LEVELS_AROUND):
                value = [value]
            orjson.dumps(value)
        except TypeError:
            raise ValueError(f"it is nested deeper than {MAX_LEVELS} levels") from None


def dump_ascii(value: Json) -> bytes:
    """Return ``value`` as one line of ASCII JSON."""
    data = orjson.dumps(value)
    if not data.isascii():
        return json.dumps(value, separators=(",", ":")).encode()
    return bytes(
        memoryview(data)
    )  # a copy: a short text from orjson keeps a buffer of 4 KiB, and lines are kept


def loads(data: bytes | str) -> Json:
    """Return the value of JSON that this server wrote."""
    return orjson.loads(data) if len(data) < _LARGE else _loads_at_once(data)


def _loads_at_once(data: bytes | str) -> Json:
    """Return the value of JSON, with garbage collection suspended meanwhile and right after.

    A body of ordinary size can hold a million lists, and collecting so many young objects takes a second.
    None of them is in a cycle. They move to the oldest generation and are freed by their reference counts.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        value = orjson.loads(data)
        if _brackets(data) > _MANY:
            gc.freeze()
            gc.unfreeze()
        return value
    finally:
        if was_enabled:
            gc.enable()


def _brackets(data: bytes | str) -> int:
    """Return an upper bound for the number of lists and objects in JSON."""
    if isinstance(data, str):
        return data.count("[") + data.count("{")
    return data.count(b"[") + data.count(b"{")


def canonical(value: Json) -> bytes:
    """Return the canonical form of a JSON value: sorted keys, and ``1`` for ``1.0``."""
    data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return orjson.dumps(_one_spelling(value), option=orjson.OPT_SORT_KEYS) if _WHOLE.search(data) else data


def _one_spelling(value: Json) -> Json:
    """Return a value in which each whole number of 64 bits is an integer."""
    if isinstance(value, dict):
        return {key: _one_spelling(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_one_spelling(part) for part in value]
    if type(value) is float and value.is_integer() and abs(value) < _INT64:
        return int(value)
    return value


def digest(value: Json) -> str:
    """Return the SHA-256 of the canonical form, hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


def parse(body: bytes, max_depth: int = MAX_DEPTH) -> Json:
    """Return the value of JSON from outside.

    Raises:
        ValueError: it does not parse, or holds NaN, a lone surrogate, an integer outside 64 bits, a key twice
            in one object, or nesting deeper than ``max_depth``; the message is fit for the caller.
    """
    value = loads(body)
    keys = _count_keys(value, max_depth)
    # Each key has a colon: where there are no more of them than keys, none was there twice. Nearly all bodies
    # are let pass by the first count, and those with times and addresses in them by the second.
    if body.count(b":") > keys and len(_ENDS_OF_KEYS.findall(body)) > keys:
        json.loads(body, parse_int=_any_int, object_pairs_hook=_distinct)
    check_integers(body)
    return value


def check_integers(data: bytes) -> None:
    """Check that every integer of JSON fits into 64 bits.

    Raises:
        ValueError: one does not; the message names it.
    """
    if _LONG_NUMBER.search(data):
        json.loads(data, parse_int=_checked_int)


def _checked_int(digits: str) -> int:
    if len(digits) > 20 or not -_INT64 <= int(digits) < _INT64:
        raise ValueError(f"the integer {digits[:24]} is outside 64 bits")
    return int(digits)


def _any_int(_: str) -> int:
    return 0  # only the keys are looked at, and numbers may be long


def _distinct(pairs: list[tuple[str, Json]]) -> None:
    """Raise ValueError for an object that has a key twice: readers differ in which one they take."""
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise ValueError(f"an object has the key {key[:60]!r} twice")
        seen.add(key)


def _count_keys(value: Json, max_depth: int) -> int:
    """Return how many keys there are on all levels; raise ValueError where there are too many levels."""
    level, depth, keys = [value], 0, 0
    while level := [item for item in level if type(item) is dict or type(item) is list]:
        depth += 1
        if depth > max_depth:
            raise ValueError(f"it is nested deeper than {max_depth} levels")
        keys += sum(len(item) for item in level if type(item) is dict)
        # What is empty leads nowhere, and there can be a million of it.
        level = [child for item in level if item for child in (item.values() if type(item) is dict else item)]
    return keys
