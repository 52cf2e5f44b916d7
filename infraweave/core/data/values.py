"""JSON values, durations and times, used everywhere.

Times inside are integers, milliseconds since the Unix epoch, UTC. On the wire they are RFC 3339 with ``Z``.
Durations inside are seconds; authors may write ``"30s"``, ``"48h"``, ``"1h30m"``.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeAlias

Json: TypeAlias = Any
JsonObject: TypeAlias = Mapping[str, Any]
Duration: TypeAlias = float | int | str

#: The most names in a message; there may be many thousands.
MAX_LISTED = 20
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
#: A hundred years. Longer durations are mistakes, and sums with them could exceed the range of datetime.
MAX_DURATION = 100 * 365 * 86400.0
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
#: The first and the last millisecond of RFC 3339 in UTC: years 0001 to 9999.
_FIRST, _LAST = -62_135_596_800_000, 253_402_300_799_999


def to_seconds(duration: Duration) -> float:
    """Return a duration in seconds.

    Raises:
        ValueError: it is negative, longer than a hundred years, or not a duration.
    """
    if isinstance(duration, bool) or not isinstance(duration, int | float | str):
        raise ValueError(_expected(duration))
    value = _parse(duration) if isinstance(duration, str) else duration
    if not 0 <= value <= MAX_DURATION:
        raise ValueError(_expected(duration))
    return float(value)


def _parse(text: str) -> float:
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        raise ValueError(_expected(text))
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _expected(duration: object) -> str:
    return f"{duration!r:.100} is not a duration; give seconds (30) or text such as '30s', '48h' or '1h30m'"


def format_duration(duration: float) -> str:
    """Return a duration for people: ``0.5s``, ``4s``, ``1h 30m``."""
    if duration < 60:
        return f"{round(duration, 1):g}s"
    whole, out = round(duration), []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, whole = divmod(whole, size)
        if count:
            out.append(f"{count}{unit}")
    return " ".join(out[:2])


def format_duration_exactly(duration: float) -> str:
    """Return a duration as text that ``to_seconds`` reads exactly: ``15m``, ``36h``, ``1.5s``."""
    for unit in ("d", "h", "m"):
        count, rest = divmod(duration, _UNITS[unit])
        if count and not rest:
            return f"{count:.0f}{unit}"
    return f"{duration:.0f}s" if duration == int(duration) else f"{duration:.3f}s"


@lru_cache(maxsize=64)
def _whole_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]  # strftime leaves zeros off early years


@lru_cache(maxsize=256)  # the events of one moment share their time
def rfc3339(at: int) -> str:
    """Return a time in milliseconds as RFC 3339 UTC with milliseconds."""
    second, millis = divmod(at, 1000)
    return f"{_whole_second(second)}.{millis:03d}Z"


def from_rfc3339(text: str) -> int:
    """Return the milliseconds of an RFC 3339 time that names its offset.

    Raises:
        ValueError: it is not such a time, or lies outside the years 0001 to 9999 in UTC, where ``rfc3339``
            could not format it.
    """
    try:
        when = datetime.fromisoformat(text)
        if when.tzinfo is None or "T" not in text.upper():
            raise ValueError
        at = (when - _EPOCH) // _MILLISECOND  # truncate to milliseconds; rounding could exceed year 9999
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r:.100} is not an RFC 3339 time such as 2026-07-04T18:22:31Z") from None
    if not _FIRST <= at <= _LAST:
        raise ValueError(f"{text!r:.100} lies outside the years 0001 to 9999 in UTC")
    return at


_POINTER = re.compile(r"(/([^~/]|~0|~1)*)*")


def is_pointer(text: str) -> bool:
    """Tell whether a text is a JSON Pointer (RFC 6901)."""
    return _POINTER.fullmatch(text) is not None


def resolve_pointer(value: Json, path: str) -> Json:
    """Return the value at a JSON Pointer.

    Raises:
        LookupError: there is no such value.
    """
    for part in path.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list) and re.fullmatch("0|[1-9][0-9]{0,9}", key) and int(key) < len(value):
            value = value[int(key)]
        else:
            raise LookupError(f"{path} leads nowhere: there is no {key[:100]}")
    return value


def list_names(names: Iterable[str]) -> str:
    """Return the first twenty names, sorted, for a message; empty where there are none."""
    first = heapq.nsmallest(MAX_LISTED + 1, names)
    return ", ".join(first[:MAX_LISTED]) + (", …" if len(first) > MAX_LISTED else "")


def to_pointer(parts: Sequence[str | int]) -> str:
    """Return a JSON Pointer (RFC 6901); the whole value is the empty string."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
