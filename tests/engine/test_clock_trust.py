"""A clock that leaps ahead removes nothing until it has stood for a day, or an operator says so."""

from __future__ import annotations

import asyncio

import pytest

from infraweave import Workflow
from infraweave.engine.clock_trust import DAY, MINUTE, assess
from infraweave.store.clock_trust import ClockRow, ClockStore
from infraweave.testing import VirtualClock

MONTHS = 40 * 86_400.0


@pytest.fixture
def clock():
    """One that looks again as the machine's does."""
    clock = VirtualClock()
    clock.max_sleep = 3_600.0
    return clock


def tea() -> Workflow:
    flow = Workflow("tea", version="v1", input={"type": "object"})

    @flow.node
    def boil(input: dict) -> dict:
        return input

    return flow


async def ended(w):
    run = await w.start("tea")
    await w.end(run)
    return run


async def is_there(w, run) -> bool:
    """Whether a run is there once whoever removes what is overdue has looked."""
    await w.engine.sweeper.sweep()
    return await w.engine.runs.get(run.run_id) is not None


async def passes(w, seconds: float) -> None:
    """Let time pass, with a look now and then as a server has them."""
    for _ in range(4):
        await w.clock.advance(seconds / 4)
        sweep = asyncio.create_task(w.engine.sweeper.sweep())
        while not sweep.done():  # it pauses on the clock
            await w.clock.advance(0.02)
            await asyncio.sleep(0.001)


def told(caplog) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelname == "WARNING" and "removed" in record.getMessage()
    ]


async def test_a_clock_ahead_for_a_moment_removes_nothing(world, caplog):
    async with world(tea()) as w:
        run = await ended(w)
        w.clock.set_by(MONTHS)
        assert await is_there(w, run)
        await w.clock.advance(2)
        assert await is_there(w, run)
        w.clock.set_by(-MONTHS)
        await passes(w, 29 * 86_400)
        assert await w.engine.runs.get(run.run_id)
        (warning,) = told(caplog)
        assert "by it 1 finished runs would be removed" in warning
        assert "40d" in warning


async def test_a_server_that_is_started_with_the_clock_ahead_removes_nothing(world, clock, caplog):
    async with world(tea()) as w:
        run = await ended(w)
    for _ in range(3):  # started again and again, which is no proof either
        clock.set_by(MONTHS / 3)
        async with world(tea()) as w:
            await ended(w)  # and writes by that clock
            await passes(w, 3_600)
            assert await w.engine.runs.get(run.run_id)
    clock.set_by(-MONTHS)
    async with world(tea()) as w:
        await passes(w, 29 * 86_400)
        assert await w.engine.runs.get(run.run_id)
    assert "would be removed" in told(caplog)[-1]


async def test_once_a_leap_has_stood_for_a_day_what_goes_is_told_first_and_goes(world, clock, caplog):
    async with world(tea()) as w:
        run = await ended(w)
    clock.set_by(MONTHS)
    async with world(tea()) as w:
        await passes(w, 86_000)
        assert await w.engine.runs.get(run.run_id)
        await passes(w, 500)
        assert await w.engine.runs.get(run.run_id) is None
    doubted, believed = told(caplog)
    assert "by it 1 finished runs would be removed" in doubted
    assert "1 runs that ended before" in believed


async def test_a_leap_stands_over_restarts(world, clock):
    async with world(tea()) as w:
        run = await ended(w)
    clock.set_by(MONTHS)
    for hours in (8, 8, 7):
        async with world(tea()) as w:
            await passes(w, hours * 3_600)
            assert await w.engine.runs.get(run.run_id)
    async with world(tea()) as w:
        await passes(w, 2 * 3_600)
        assert await w.engine.runs.get(run.run_id) is None


async def test_an_operator_may_say_that_the_clock_is_right(world, clock, caplog):
    async with world(tea()) as w:
        run = await ended(w)
    clock.set_by(MONTHS)
    async with world(tea(), trust_clock=True) as w:
        await passes(w, 1)
        assert await w.engine.runs.get(run.run_id) is None
    assert "1 runs that ended before" in told(caplog)[-1]


async def test_what_is_overdue_by_time_that_has_passed_goes_in_spite_of_a_leap(world, caplog):
    async with world(tea(), keep=3_600.0) as w:
        run = await ended(w)
        await w.clock.advance(3_000)
        await w.engine.sweeper.sweep()
        w.clock.set_by(1_200)  # more than it seems, but not for long
        assert await is_there(w, run)
        await passes(w, 700)
        assert await w.engine.runs.get(run.run_id) is None


async def test_the_audit_log_goes_by_no_leap_either(world):
    async with world(tea()) as w:
        await w.engine.create_admin_token(b"1" * 32)
        await w.engine.audit_buffer._prune()
        rows = await w.engine.audit.list(_all(), limit=10)
        w.clock.set_by(3 * 365 * 86_400)
        await w.clock.advance(3_600)
        await w.engine.audit_buffer._prune()
        assert await w.engine.audit.list(_all(), limit=10) == rows


def _all():
    from infraweave.store.audit import AuditFilters

    return AuditFilters()


async def test_what_is_thought_of_the_clock_is_on_disk_before_anything_is_written_by_it(world, clock):
    async with world(tea()) as w:
        run = await ended(w)
        before = await ClockStore(w.engine.db).read()
    clock.set_by(MONTHS)
    async with world(tea()) as w:
        seen = await ClockStore(w.engine.db).read()
        assert seen.since == w.clock.now()
        assert seen.seen == before.seen
        assert await w.engine.runs.get(run.run_id)


# --- the rule ----------------------------------------------------------------------------------------------

HOUR = 60 * MINUTE
SEEN = ClockRow(seen=1_000 * DAY, last=1_000 * DAY)


def test_a_clock_that_says_what_has_passed_is_believed():
    now = SEEN.seen + 90 * DAY
    assert assess(SEEN, now, 90 * DAY, MINUTE) == ClockRow(seen=now, last=now)


def test_a_clock_that_is_set_back_is_believed():
    now = SEEN.seen - 90 * DAY
    assert assess(SEEN, now, 0, MINUTE) == ClockRow(seen=now, last=now)


def test_a_second_leap_begins_anew():
    first = assess(SEEN, SEEN.seen + 40 * DAY, None, MINUTE)
    second = assess(first, first.last + 2 * DAY, HOUR, MINUTE)
    assert second.since == first.last + 2 * DAY
    assert second.seen == SEEN.seen + HOUR


def test_a_clock_that_is_set_back_halfway_begins_anew():
    first = assess(SEEN, SEEN.seen + 40 * DAY, None, MINUTE)
    second = assess(first, first.last - 10 * DAY, HOUR, MINUTE)
    assert second.since == first.last - 10 * DAY


def test_a_machine_that_is_off_every_night_is_believed_the_next_day():
    began = SEEN.seen + 16 * HOUR
    morning = assess(SEEN, began, None, MINUTE)
    assert morning.since is not None
    off = assess(morning, began + 8 * HOUR, 8 * HOUR, MINUTE)
    assert off.since is not None
    assert assess(off, began + 24 * HOUR, None, MINUTE).since is None


def test_leaps_do_not_add_up_to_a_day():
    state, now = assess(SEEN, SEEN.seen + 40 * DAY, 0, MINUTE), SEEN.seen + 40 * DAY
    for _ in range(3):
        now += 12 * HOUR
        state = assess(state, now, 1_000, MINUTE)
        assert state.since == now
