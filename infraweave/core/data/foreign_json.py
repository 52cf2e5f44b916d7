"""A lenient parser for JSON from other programs. Pure.

A call that got a response has taken effect, so a response that breaks our own rules must not make it fail.
Everything that has a meaning is accepted. Values that our JSON cannot carry become their text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from infraweave.core.data.json_codec import loads
from infraweave.core.data.values import Json

#: The deepest nesting; deeper values become the text of their JSON.
LEVELS = 100
_INT64 = 2**63
_LONG_NUMBER = re.compile(rb"\d{19}")


def parse(body: bytes) -> Json:
    """Return the value of JSON in UTF-8.

    Where an object has a key twice, the last value counts, as in most parsers. Integers outside 64 bits and
    numbers too large for a float become their text.

    Raises:
        ValueError: it is not JSON, or contains NaN or a lone surrogate.
    """
    try:
        value: Json = loads(body)
        if _LONG_NUMBER.search(body) is None:
            return value
    except ValueError:
        pass  # the other parser accepts more
    try:
        value = json.loads(body, parse_int=_integer, parse_float=_number, parse_constant=_refused)
        if b"\\u" in body:
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate cannot be encoded
        return value
    except RecursionError:
        return body.decode(errors="replace")


def _refused(word: str) -> Json:
    raise ValueError(f"JSON has no value {word}")


def _integer(digits: str) -> Json:
    if len(digits) > 20:
        return digits
    number = int(digits)
    return number if -_INT64 <= number < _INT64 else digits


def _number(text: str) -> Json:
    number = float(text)
    return number if math.isfinite(number) else text


def limit_depth(value: Json, levels: int = LEVELS) -> Json:
    """Return a value with at most ``levels`` levels; deeper values become the text of their JSON."""
    if not isinstance(value, Mapping | list):
        return value
    if not levels:
        try:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        except RecursionError:
            return "…"
    if isinstance(value, Mapping):
        return {key: limit_depth(item, levels - 1) for key, item in value.items()}
    return [limit_depth(item, levels - 1) for item in value]
