"""Times by the clock on the wall of a time zone, taken piece by piece between changes of that clock.

Where a job has no fixed time, cronsim steps by whole hours, which goes wrong in zones whose clocks change by
half an hour, or at midnight. Between two changes a clock on the wall is a plain one, so it is asked about
plain times only.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)
#: No zone changes its clock twice within this.
_STRIDE = timedelta(days=7)


def first_on_the_wall(
    later: Callable[[datetime], datetime | None], zone: ZoneInfo, after: datetime
) -> datetime | None:
    """Return the first moment after ``after`` at which the clock shows a time that ``later`` gives.

    ``later`` returns the first time after a time, both as the clock shows them, without a zone. ``after`` and
    the answer are in UTC and whole seconds.
    """
    offset = _offset(zone, after)
    while (shown := later(after.replace(tzinfo=None) + offset)) is not None:
        moment = (shown - offset).replace(tzinfo=UTC)
        change = _first_change(zone, after, moment, offset)
        if change is None:
            return moment
        after, offset = change - _SECOND, _offset(zone, change)
    return None


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _first_change(zone: ZoneInfo, start: datetime, end: datetime, offset: timedelta) -> datetime | None:
    """Return the first moment after ``start`` and up to ``end`` with another offset."""
    same, probe = start, min(start + _SECOND, end)
    while _offset(zone, probe) == offset:
        if probe == end:
            return None
        same, probe = probe, min(probe + _STRIDE, end)
    while probe - same > _SECOND:
        middle = same + timedelta(seconds=(probe - same) // _SECOND // 2)
        same, probe = (middle, probe) if _offset(zone, middle) == offset else (same, middle)
    return probe
