"""JSON that other programs wrote, read as it comes. Pure.

A call that was answered has taken effect: what its answer holds beyond our own rules must not make it fail.
So nothing is refused that means something, and what JSON of ours cannot carry is kept as its text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from infraweave.core.data.json_codec import loads
from infraweave.core.data.values import Json

#: Levels that are kept as they are; what lies deeper is kept as the text of its JSON.
LEVELS = 100
_INT64 = 2**63
_LONG_NUMBER = re.compile(rb"\d{19}")


def parse(body: bytes) -> Json:
    """Return the value of JSON in UTF-8.

    Of a key that is there twice the last value counts, as readers do. Integers outside 64 bits and numbers
    too large for a float are their text.

    Raises:
        ValueError: it is no JSON: NaN is none, nor is half of a surrogate pair.
    """
    try:
        value: Json = loads(body)
        if _LONG_NUMBER.search(body) is None:
            return value
    except ValueError:
        pass  # it may be what only the other reader takes
    try:
        value = json.loads(body, parse_int=_integer, parse_float=_number, parse_constant=_refused)
        if b"\\u" in body:
            json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair can be written nowhere
        return value
    except RecursionError:
        return body.decode(errors="replace")


def _refused(word: str) -> Json:
    raise ValueError(f"{word} is none of its values")


def _integer(digits: str) -> Json:
    if len(digits) > 20:
        return digits
    number = int(digits)
    return number if -_INT64 <= number < _INT64 else digits


def _number(text: str) -> Json:
    number = float(text)
    return number if math.isfinite(number) else text


def limit_depth(value: Json, levels: int = LEVELS) -> Json:
    """Return a value of so many levels: what lies deeper becomes the text of its JSON."""
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
