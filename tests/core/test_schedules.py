"""When schedules fire: across changes of the clock, after a downtime, and beside a run that is still open."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infraweave.core.data.values import from_rfc3339
from infraweave.core.workflow.schedules import (
    LATE,
    QUEUE_LIMIT,
    DueTimes,
    apply_overlap,
    due_times,
    faults,
    fire_times,
    next_fire,
)
from infraweave.core.workflow.triggers import Schedule

YEAR = 2026
HOUR = 3_600_000
ZURICH, NEW_YORK = "Europe/Zurich", "America/New_York"


def cron(text, zone="UTC", **more):
    return Schedule(name="s", cron=text, timezone=zone, **more)


def every(seconds, **more):
    return Schedule(name="s", every=seconds, **more)


def ms(*parts, zone="UTC", fold=0):
    return round(datetime(*parts, tzinfo=ZoneInfo(zone), fold=fold).timestamp()) * 1000


def times(schedule, start, end):
    return list(takewhile(lambda at: at < end, fire_times(schedule, start - 1)))


def at_a_fixed_time(zone, hour, minute):
    """What a clock on the wall says, day by day: right after a gap, and the first of two."""
    tz = ZoneInfo(zone)
    for day in range(365):
        naive = datetime.combine(date(YEAR, 1, 1) + timedelta(days=day), time(hour, minute))
        while naive.replace(tzinfo=tz).astimezone(UTC).astimezone(tz).replace(tzinfo=None) != naive:
            naive += timedelta(minutes=1)
        yield round(naive.replace(tzinfo=tz).timestamp()) * 1000


@pytest.mark.parametrize("zone", [ZURICH, NEW_YORK, "Australia/Lord_Howe", "Africa/Cairo", "UTC"])
@pytest.mark.parametrize(("hour", "minute"), [(0, 0), (1, 30), (2, 0), (2, 30), (3, 0), (12, 15)])
def test_a_fixed_time_fires_once_a_day_whatever_the_clock_does(zone, hour, minute):
    start, end = ms(YEAR, 1, 1, zone=zone), ms(YEAR + 1, 1, 1, zone=zone)
    expected = list(at_a_fixed_time(zone, hour, minute))

    assert times(cron(f"{minute} {hour} * * *", zone), start, end) == expected


@pytest.mark.parametrize("zone", [ZURICH, NEW_YORK])
def test_a_job_of_the_wall_clock_goes_on_through_both_changes(zone):
    start, end = ms(YEAR, 1, 1, zone=zone), ms(YEAR + 1, 1, 1, zone=zone)

    assert times(cron("*/15 * * * *", zone), start, end) == list(range(start, end, HOUR // 4))
    assert times(cron("0 * * * *", zone), start, end) == list(range(start, end, HOUR))


HALF_AN_HOUR, AT_MIDNIGHT, NEVER = "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kolkata"
JOBS = {
    "*/15 2 * * *": lambda shown: shown.hour == 2 and shown.minute % 15 == 0,
    "5 */3 * * *": lambda shown: shown.hour % 3 == 0 and shown.minute == 5,
    "*/30 0 * * 5": lambda shown: shown.hour == 0 and shown.minute % 30 == 0 and shown.isoweekday() == 5,
    "*/20 2 25 10 *": lambda shown: (
        (shown.month, shown.day, shown.hour) == (10, 25, 2) and shown.minute % 20 == 0
    ),
}


@pytest.mark.parametrize("zone", [ZURICH, NEW_YORK, HALF_AN_HOUR, AT_MIDNIGHT, NEVER])
def test_other_jobs_fire_whenever_the_clock_on_the_wall_says_so(zone):
    start, end = ms(YEAR, 1, 1), ms(YEAR + 1, 1, 1)
    shown = [(at, datetime.fromtimestamp(at / 1000, ZoneInfo(zone))) for at in range(start, end, 300_000)]
    for text, matches in JOBS.items():
        assert times(cron(text, zone), start, end) == [at for at, when in shown if matches(when)], text


def test_the_hour_that_is_left_out_and_the_hour_that_comes_twice():
    in_the_gap = times(cron("15,45 2 * * *", ZURICH), ms(2026, 3, 29), ms(2026, 3, 30))
    in_the_fold = times(cron("15,45 2 * * *", ZURICH), ms(2026, 10, 25), ms(2026, 10, 26))

    assert in_the_gap == [from_rfc3339("2026-03-29T01:00:00Z")]
    assert in_the_fold == [from_rfc3339("2026-10-25T00:15:00Z"), from_rfc3339("2026-10-25T00:45:00Z")]
    between = ms(2026, 10, 25, 2, 10, zone=ZURICH, fold=1)
    assert next_fire(cron("45 2 * * *", ZURICH), between) == ms(2026, 10, 26, 2, 45, zone=ZURICH)


CRONS = [
    "30 2 * * *",
    "*/7 * * * *",
    "*/30 2 25 10 *",
    "0 */5 * * 1-5",
    "59 1,2,3 * 3,10 *",
    "0 0 1 * MON",
    "* 2 * * 0",
    "@daily",
]


@given(
    st.sampled_from(CRONS),
    st.sampled_from([ZURICH, NEW_YORK, "UTC"]),
    st.integers(ms(2026, 1, 1), ms(2027, 1, 1)),
    st.integers(0, 40 * HOUR),
)
@example("30 2 * * *", ZURICH, ms(2026, 10, 24, 23, 59), 90 * 60_000)
def test_the_next_time_depends_on_the_moment_alone(text, zone, moment, later):
    """Later than asked, and the same from any moment before it: a restart changes no time."""
    schedule = cron(text, zone)
    following = next_fire(schedule, moment)

    assert following is not None
    assert following > moment
    between = min(moment + later, following - 1)
    assert next_fire(schedule, between) == following


def test_an_interval_is_in_step_with_its_anchor():
    six_hourly = every(6 * 3600.0)
    anchored = every(6 * 3600.0, anchor="2026-01-01T01:30:00Z")

    assert next_fire(six_hourly, ms(2026, 5, 5, 5)) == ms(2026, 5, 5, 6)
    assert next_fire(six_hourly, ms(2026, 5, 5, 6)) == ms(2026, 5, 5, 12)
    assert next_fire(anchored, ms(2026, 5, 5, 6)) == ms(2026, 5, 5, 7, 30)
    assert next_fire(anchored, ms(2025, 5, 5, 6)) == ms(2025, 5, 5, 7, 30)


def test_rare_times_are_found():
    assert list(islice(fire_times(cron("0 0 29 2 *"), ms(2026, 1, 1)), 2)) == [
        ms(2028, 2, 29),
        ms(2032, 2, 29),
    ]


# --- after a downtime --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("catch_up", "down_to", "made_up"),
    [
        ("skip", 10 * HOUR, (10 * HOUR,)),
        ("skip", 10 * HOUR + LATE, (10 * HOUR,)),
        ("skip", 10 * HOUR + LATE + 1, ()),
        ("last", 10 * HOUR + LATE + 1, (10 * HOUR,)),
        ("last", 7 * HOUR, (7 * HOUR,)),
        ("all", 9 * HOUR + 5, (7 * HOUR, 8 * HOUR, 9 * HOUR)),
    ],
)
def test_missed_times_are_made_up_for_as_the_schedule_says(catch_up, down_to, made_up):
    for schedule in (cron("0 * * * *", catch_up=catch_up), every(3600.0, catch_up=catch_up)):
        following = (down_to // HOUR + 1) * HOUR
        assert due_times(schedule, 7 * HOUR, down_to) == DueTimes(made_up, following)


def test_a_long_downtime_costs_no_walk_through_it():
    start, now = ms(1990, 1, 1), ms(2026, 1, 1)

    assert due_times(cron("* * * * *"), start, now).times == (now,)
    assert due_times(every(1.0), start, now).times == (now,)
    bounded = due_times(cron("* * * * *", catch_up="all", overlap="queue"), start, now).times
    assert bounded == tuple(range(now - (QUEUE_LIMIT - 1) * 60_000, now + 1, 60_000))
    assert due_times(cron("0 0 29 2 *"), start, now).times == (ms(2024, 2, 29),)


# --- overlap -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overlap", "waiting", "busy", "after"),
    [
        ("skip", (), False, (9,)),
        ("skip", (), True, ()),
        ("skip", (5,), False, (5,)),
        ("queue", (), True, (8, 9)),
        ("queue", (5,), True, (5, 8, 9)),
        ("cancel_running", (5,), True, (9,)),
        ("cancel_running", (), False, (9,)),
    ],
)
def test_what_waits_once_times_have_come(overlap, waiting, busy, after):
    assert apply_overlap(overlap, waiting, (8, 9), busy=busy) == after


def test_a_queue_is_bounded():
    full = tuple(range(QUEUE_LIMIT))
    assert apply_overlap("queue", full, (QUEUE_LIMIT,), busy=True) == full


# --- faults ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schedule",
    [
        cron("*/5 0-6 1,15 JAN-MAR MON#2", "America/Argentina/Buenos_Aires"),
        cron("@weekly", input={"day": "{scheduled_at}", "by": ["{schedule}"]}),
        every(1.0, anchor="2026-01-01T00:00:00+02:00"),
        cron("0 0 L * *", catch_up="all", overlap="queue"),
    ],
)
def test_what_is_right_has_no_faults(schedule):
    assert list(faults(schedule)) == []


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (Schedule(name="s"), "it needs cron or every, which say when"),
        (Schedule(name="s", cron="* * * * *", every=5.0), "it needs cron or every, not both"),
        (cron("61 * * * *"), "cron '61 * * * *' is not a valid schedule (bad minute); expected five fields"),
        (cron("* * * *"), "cron '* * * *' is not a valid schedule; expected five fields"),
        (cron("0 * * * * *"), "cron '0 * * * * *' is not a valid schedule; expected five fields"),
        (cron("@often"), "cron '@often' is not a known shorthand; there are @hourly, @daily"),
        (cron("0 0 30 2 *"), "cron '0 0 30 2 *' is not a valid schedule (bad day-of-month)"),
        (cron("0 0 31 9 L"), "is not a valid schedule"),
        (cron("1" * 5000), "is not a valid schedule"),
        (cron("*/1/1 * * * *"), "bad minute"),
        (cron("0 0 * * *", "Europe/Zuerich"), "timezone 'Europe/Zuerich' is not an IANA time zone"),
        (cron("0 0 * * *", "../../etc/passwd"), "timezone '../../etc/passwd' is not an IANA time zone"),
        (cron("0 0 * * *", "Europe"), "timezone 'Europe' is not an IANA time zone"),
        (cron("0 0 * * *", ""), "timezone '' is not an IANA time zone"),
        (cron("0 0 * * *", anchor="2026-01-01T00:00:00Z"), "anchor goes with every"),
        (every(0.5), "every is 0.5 s; expected at least one second"),
        (every(float("nan")), "every is nan s; expected at least one second"),
        (every(1.0005), "every is 1.0005 s; expected whole milliseconds"),
        (every(60.0, timezone=ZURICH), "timezone goes with cron"),
        (every(60.0, anchor="yesterday"), "anchor: 'yesterday' is not an RFC 3339 time"),
        (every(60.0, catch_up="some"), "catch_up is 'some'; expected skip, last, all"),
        (every(60.0, overlap="allow"), "overlap is 'allow'; expected skip, queue, cancel_running"),
        (every(60.0, catch_up="all"), "catch_up='all' needs overlap='queue'"),
        (
            every(60.0, input={"at": "{time}"}),
            "input: {time} names no value; there are schedule, scheduled_at",
        ),
        (every(60.0, input={"at": "{scheduled_at.year}"}), "input: {scheduled_at.year} leads nowhere"),
        (Schedule(name="a b", every=60.0), "name 'a b' must be 1 to 128 letters"),
    ],
)
def test_what_is_wrong_is_said(schedule, said):
    assert any(said in fault.message for fault in faults(schedule)), list(faults(schedule))
