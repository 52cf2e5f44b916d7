"""When schedules fire. Pure: everything is a function of a moment, in milliseconds since the Unix epoch.

``cron`` follows Debian's cron (by cronsim), also when clocks change. A job at a fixed time (neither minute
nor hour begins with ``*``) runs once: right after a skipped hour, or in the first of two repeated hours.
Other jobs follow the local time. The rules of time zones come from the machine, or from the package tzdata.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from typing import assert_never
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from infraweave.core.data.template import TemplateError, json_faults, render_json
from infraweave.core.data.values import MAX_DURATION, Json, from_rfc3339, rfc3339
from infraweave.core.records import frozen
from infraweave.core.workflow.triggers import CATCH_UPS, OVERLAPS, SCHEDULE_VALUES, Overlap, Schedule
from infraweave.errors import Fault

#: A time that is noticed later than this, in milliseconds, was missed; before that it is only late.
LATE = 60_000
#: The most missed times that ``all`` catches up, and the most that wait in a queue.
QUEUE_LIMIT = 1_000
_HOUR = 3_600_000
_SECOND = timedelta(seconds=1)
#: No zone changes its clock twice within this.
_STRIDE = timedelta(days=7)
#: 2026-01-01T00:00:00Z: an arbitrary time.
_SAMPLE = 1_767_225_600_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}")
_LONGEST_TEXT = 256
_FIELDS = 5
_SHORTHANDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


def faults(schedule: Schedule) -> Iterator[Fault]:
    """Yield the faults of a schedule; paths lead into the schedule."""
    if not _NAME.fullmatch(schedule.name):
        message = f"name {schedule.name!r:.140} must be 1 to 128 letters, digits, . _ or -"
        yield Fault("/name", "format", message)
    if schedule.cron is None and schedule.every is None:
        yield Fault("", "conflict", "it needs cron or every, which say when")
    if schedule.cron is not None and schedule.every is not None:
        yield Fault("", "conflict", "it needs cron or every, not both")
    if schedule.every is not None:
        yield from _interval_faults(schedule.every, schedule.anchor)
    elif schedule.anchor is not None:
        yield Fault("/anchor", "conflict", "anchor goes with every; cron has its own times")
    yield from _zone_faults(schedule)
    if schedule.cron is not None:
        yield from (Fault("/cron", "format", message) for message in _wrong_with_cron(schedule.cron))
    if schedule.catch_up not in CATCH_UPS:
        message = f"catch_up is {schedule.catch_up!r:.60}; expected {', '.join(CATCH_UPS)}"
        yield Fault("/catch_up", "value", message)
    if schedule.overlap not in OVERLAPS:
        message = f"overlap is {schedule.overlap!r:.60}; expected {', '.join(OVERLAPS)}"
        yield Fault("/overlap", "value", message)
    elif schedule.catch_up == "all" and schedule.overlap != "queue":
        message = "catch_up='all' needs overlap='queue': missed times are made up for one after the other"
        yield Fault("/catch_up", "conflict", message)
    yield from (fault.within("/input", "input: ") for fault in _input_faults(schedule))


def run_input(schedule: Schedule, at: int) -> Json:
    """Return the input of the run for a time.

    Raises:
        TemplateError: a placeholder of the input has no value.
    """
    return render_json(schedule.input, {"schedule": schedule.name, "scheduled_at": rfc3339(at)})


def sample_input(schedule: Schedule) -> Json:
    """Return the input of a run for an arbitrary time, for a check. The schedule must have no faults."""
    return run_input(schedule, _SAMPLE)


def _input_faults(schedule: Schedule) -> Iterator[Fault]:
    wrong = list(json_faults(schedule.input, SCHEDULE_VALUES))
    yield from wrong
    if not wrong:
        try:
            sample_input(schedule)
        except TemplateError as error:
            yield Fault("", "template", str(error))


def _interval_faults(every: float, anchor: str | None) -> Iterator[Fault]:
    if not 1 <= every <= MAX_DURATION:
        yield Fault("/every", "range", f"every is {every} s; expected at least one second")
    elif (every * 1000) % 1:
        yield Fault("/every", "range", f"every is {every} s; expected whole milliseconds")
    if anchor is not None:
        try:
            from_rfc3339(anchor)
        except ValueError as error:
            yield Fault("/anchor", "format", f"anchor: {error}")


def _zone_faults(schedule: Schedule) -> Iterator[Fault]:
    if schedule.every is not None and schedule.timezone != "UTC":
        yield Fault("/timezone", "conflict", "timezone goes with cron; every counts from its anchor")
    elif not _is_zone(schedule.timezone):
        message = (
            f"timezone {schedule.timezone!r:.80} is not an IANA time zone; expected one such as Europe/Zurich"
        )
        yield Fault("/timezone", "format", message)


def _is_zone(name: str) -> bool:
    if len(name) > _LONGEST_TEXT or not _ZONE.fullmatch(name):
        return False
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _wrong_with_cron(cron: str) -> Iterator[str]:
    expected = "expected five fields such as '30 2 * * 1-5': minute, hour, day of month, month, day of week"
    if cron.startswith("@") and cron not in _SHORTHANDS:
        yield f"cron {cron!r:.80} is not a known shorthand; there are {', '.join(_SHORTHANDS)}"
    elif len(cron) > _LONGEST_TEXT or len(_five_fields(cron).split()) != _FIELDS:
        yield f"cron {cron!r:.80} is not a valid schedule; {expected}"
    else:
        try:
            if next(CronSim(_five_fields(cron), datetime(2000, 1, 1, tzinfo=UTC)), None) is None:
                yield f"cron {cron!r} names a day that does not come within fifty years"
        except CronSimError as error:
            yield f"cron {cron!r} is not a valid schedule ({str(error).lower()}); {expected}"


@lru_cache(maxsize=1024)
def _five_fields(cron: str) -> str:
    return _SHORTHANDS.get(cron, cron)


# --- times -------------------------------------------------------------------------------------------------


def next_fire(schedule: Schedule, after: int) -> int | None:
    """Return the first time after ``after``; None if there is none. The schedule must have no faults."""
    if schedule.every is not None:
        every, anchor = round(schedule.every * 1000), _anchor(schedule)
        return after + every - (after - anchor) % every
    if schedule.cron is None:
        return None
    fields, start = _five_fields(schedule.cron), datetime.fromtimestamp(after // 1000, UTC)
    if schedule.timezone == "UTC":
        return _millis(next(CronSim(fields, start), None))
    zone = ZoneInfo(schedule.timezone)
    if any(field.startswith("*") for field in fields.split()[:2]):
        return _millis(next_local_time(lambda shown: next(CronSim(fields, shown), None), zone, start))
    # In the repeated hour, cronsim may yield times of the first one again.
    times = (_millis(time) for time in CronSim(fields, start.astimezone(zone)))
    return next((at for at in times if at is None or at > after), None)


def _anchor(schedule: Schedule) -> int:
    return 0 if schedule.anchor is None else from_rfc3339(schedule.anchor)


def _millis(when: datetime | None) -> int | None:
    return None if when is None else round(when.timestamp()) * 1000


def fire_times(schedule: Schedule, after: int) -> Iterator[int]:
    """Yield the times later than ``after``, in order."""
    at = next_fire(schedule, after)
    while at is not None:
        yield at
        at = next_fire(schedule, at)


@frozen
class DueTimes:
    """The times for which runs must start now, in order, and when to check again."""

    times: tuple[int, ...]
    next_at: int | None


def due_times(schedule: Schedule, at: int, now: int) -> DueTimes:
    """Return what is due of a schedule whose next time ``at`` has come by ``now``, maybe long ago."""
    return DueTimes(_made_up(schedule, at, now), next_fire(schedule, now))


def _made_up(schedule: Schedule, at: int, now: int) -> tuple[int, ...]:
    match schedule.catch_up:
        case "skip":
            return tuple(time for time in _latest(schedule, at, now, 1) if now - time <= LATE)
        case "last":
            return _latest(schedule, at, now, 1)
        case "all":
            return _latest(schedule, at, now, QUEUE_LIMIT)
        case _:
            assert_never(schedule.catch_up)


def _latest(schedule: Schedule, at: int, now: int, most: int) -> tuple[int, ...]:
    """Return the last ``most`` times from ``at`` to ``now``, without a walk through years of them."""
    span = _HOUR
    while True:
        after = max(at - 1, now - span)
        found = deque(takewhile(lambda time: time <= now, fire_times(schedule, after)), most)
        if len(found) == most or after == at - 1:
            return tuple(found)
        span *= 4


# --- local times -------------------------------------------------------------------------------------------


def next_local_time(
    later: Callable[[datetime], datetime | None], zone: ZoneInfo, after: datetime
) -> datetime | None:
    """Return the first moment after ``after`` at which local clocks show a time that ``later`` gives.

    ``later`` returns the first local time after a local time; both have no zone. ``after`` and the result are
    in UTC and whole seconds. For jobs without a fixed time cronsim steps by whole hours, which goes wrong in
    zones whose clocks change by half an hour, or at midnight. Between two changes a local clock is a plain
    one, so ``later`` is asked about plain times only.
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


# --- overlap -----------------------------------------------------------------------------------------------


def apply_overlap(
    overlap: Overlap, waiting: tuple[int, ...], times: tuple[int, ...], *, busy: bool
) -> tuple[int, ...]:
    """Return the times that wait for their runs, once ``times`` have come.

    ``busy``: a run of the schedule is open. Times that are not in the answer are skipped.
    """
    match overlap:
        case "skip":
            return waiting if busy or waiting else times[-1:]
        case "queue":
            return (waiting + times)[:QUEUE_LIMIT]
        case "cancel_running":
            return times[-1:] or waiting
        case _:
            assert_never(overlap)
