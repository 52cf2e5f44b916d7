"""Schedules on the virtual clock: a year of them, downtimes, crashes, and runs that take too long."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import takewhile

import pytest

from infraweave import Workflow
from infraweave.core.access import Principal
from infraweave.core.data.values import from_rfc3339, rfc3339
from infraweave.core.workflow.schedules import fire_times
from infraweave.core.workflow.triggers import Schedule
from infraweave.engine.engine import Engine
from infraweave.errors import DefinitionInvalid, ScheduleConflict, ScheduleDeclared, ScheduleNotFound
from infraweave.settings import Settings
from infraweave.store.runs import RunFilters

HOUR, DAY = 3600, 86_400
ANY = {"type": "object"}


def quick(name="nightly", version="v1", *schedules, **declared):
    """A workflow that ends by itself, with one schedule unless several are given."""
    flow = Workflow(name, version=version)

    @flow.node
    async def work(input: dict) -> dict:
        return input

    for given in schedules or (declared,):
        flow.schedule(**{"name": "s", "input": {"at": "{scheduled_at}", "by": "{schedule}"}, **given})
    return flow


def slow(**declared):
    """A workflow whose runs wait for a person."""
    flow = Workflow("slow", version="v1")
    flow.human_input("answer", prompt="?", schema={})
    flow.schedule("s", **{"every": "1h", **declared})
    return flow


class Run:
    """What a story wants to know of a scheduled run."""

    def __init__(self, row):
        self.row, self.at, self.state = row, row.tags["scheduled_at"], row.state


async def runs(engine, workflow_id="nightly", tenant="default"):
    """Return the scheduled runs, the oldest first."""
    found, before = [], None
    while page := await engine.runs.list(
        tenant, RunFilters(workflow_id=workflow_id), limit=1000, before=before
    ):
        found += page
        before = page[-1].run_key
    assert {row.trigger for row in found} <= {"schedule"}
    return [Run(row) for row in reversed(found)]


async def hours(engine, workflow_id="nightly"):
    """Return the times of the scheduled runs in short."""
    return [run.at[11:16] for run in await runs(engine, workflow_id)]


async def ended(engine, workflow_id="nightly"):
    found, waiting = [], [True]
    while any(waiting) or len(found) < len(await runs(engine, workflow_id)):
        await engine.scheduler.settled()
        found = await runs(engine, workflow_id)
        for run in found:
            assert await engine.service.wait_end(run.row.run_key)
        await engine.scheduler.settled()
        waiting = [row.waiting for row in await engine.scheduler.schedules.list()]


@pytest.fixture
def opened(clock, db):
    """Open an engine on the story's file; a second time, it is a restart."""

    @asynccontextmanager
    async def opening(*workflows, **settings):
        async with Engine.open(db, workflows, clock=clock, settings=Settings(**settings)) as engine:
            await engine.scheduler.settled()
            yield engine

    return opening


# --- firing ------------------------------------------------------------------------------------------------


async def test_a_time_that_has_come_starts_a_run_that_says_so(opened, clock):
    async with opened(quick(cron="30 6 * * *", timezone="Europe/Zurich")) as engine:
        await clock.advance(5.5 * HOUR - 1)
        assert await runs(engine) == []
        await clock.advance(1)
        await ended(engine)

        (run,) = await runs(engine)
        assert run.row.by == "schedule:s"
        assert run.row.tags == {"schedule": "s", "scheduled_at": "2026-01-01T05:30:00.000Z"}
        seen = await engine.service.inspect(run.row)
        assert seen.input == {"at": "2026-01-01T05:30:00.000Z", "by": "s"}
        row = await engine.scheduler.schedules.get("default", "nightly:s")
        assert (row.last_run_id, row.last_at, row.waiting) == (run.row.run_id, clock.now(), ())
        assert row.next_at == from_rfc3339("2026-01-02T05:30:00Z")


ZONES = {
    "Europe/Zurich": ["30 2 * * *", "0 2,3 * * *", "*/30 2 * * 0"],
    "America/New_York": ["30 1 * * *", "30 2 * * *"],
}


async def test_a_simulated_year_fires_as_cron_says_also_across_downtimes(opened, clock):
    """Both changes of the clock fall into a downtime in one zone, and into plain running in the other."""
    declared = [
        {
            "name": f"{zone.rpartition('/')[2]}-{place}",
            "cron": cron,
            "timezone": zone,
            "catch_up": "all",
            "overlap": "queue",
        }
        for zone, crons in ZONES.items()
        for place, cron in enumerate(crons)
    ]
    flow, start = quick("nightly", "v1", *declared), clock.now()
    down = [("2026-03-28", "2026-03-31"), ("2026-07-01", "2026-07-20"), ("2026-10-31T12", "2026-11-03T12")]
    stops = [*(point for pair in down for point in pair), "2027-01-01"]
    for up in range(0, len(stops), 2):
        async with opened(flow, keep=None) as engine:
            await until(clock, stops[up])
            await engine.scheduler.settled()
        if up + 1 < len(stops):
            await until(clock, stops[up + 1])

    async with opened(flow, keep=None) as engine:
        await ended(engine)
        found = await runs(engine)
        by_schedule: dict[str, list[str]] = {}
        for run in found:
            assert run.row.state != "failed"
            by_schedule.setdefault(run.row.tags["schedule"], []).append(run.at)
        for given in declared:
            schedule = Schedule(**given)
            expected = [
                rfc3339(at) for at in takewhile(lambda at: at <= clock.now(), fire_times(schedule, start))
            ]
            assert by_schedule[given["name"]] == expected, given


async def until(clock, day):
    """Let time pass to a day."""
    end = round(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1000
    await clock.advance((end - clock.now()) / 1000)


async def test_schedules_whose_code_is_gone_are_told_at_the_start(opened, caplog):
    async with opened(quick(every="1h"), quick("other", every="1h")):
        pass
    assert "no code is loaded" not in caplog.text
    async with opened(quick("other", every="1h")) as engine:
        assert "schedules of nightly (tenant default) start runs that wait" in caplog.text
        assert "no code is loaded for nightly:work" in caplog.text
        caplog.clear()
        await engine.scheduler.pause("default", "nightly:s")
    async with opened(quick("other", every="1h")):
        assert "no code is loaded" not in caplog.text


# --- after a downtime --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("catch_up", "overlap", "made_up"),
    [
        ("skip", "skip", []),
        ("last", "skip", ["04:00"]),
        ("all", "queue", ["02:00", "03:00", "04:00"]),
    ],
)
async def test_a_downtime_is_made_up_for_as_declared(opened, clock, catch_up, overlap, made_up):
    flow = quick(every="1h", catch_up=catch_up, overlap=overlap)
    async with opened(flow) as engine:
        await clock.advance(HOUR)
        await ended(engine)
    await clock.advance(3.5 * HOUR)
    async with opened(flow) as engine:
        await ended(engine)
        assert await hours(engine) == ["01:00", *made_up]
        await clock.advance(0.5 * HOUR)
        await ended(engine)
        assert (await hours(engine))[-1] == "05:00"


async def test_a_short_downtime_misses_nothing(opened, clock):
    flow = quick(every="1h", catch_up="skip")
    async with opened(flow):
        await clock.advance(HOUR - 1)
    await clock.advance(31)
    async with opened(flow) as engine:
        await ended(engine)
        assert await hours(engine) == ["01:00"]


@pytest.mark.parametrize("moment", ["record_due", "record_outcome"])
async def test_killed_between_any_two_steps_a_time_makes_one_run(opened, clock, monkeypatch, moment):
    """The process dies right after the time was written down, or right after the run was."""
    flow = quick(every="1h", catch_up="skip")
    async with opened(flow) as engine:
        step, reached = getattr(type(engine.scheduler.schedules), moment), asyncio.Event()

        async def dying(self, *given, **more):
            if moment == "record_due":
                await step(self, *given, **more)
            reached.set()
            await asyncio.Event().wait()  # until the process is gone

        monkeypatch.setattr(type(engine.scheduler.schedules), moment, dying)
        await clock.advance(HOUR)
        await reached.wait()
        assert (await engine.scheduler.schedules.get("default", "nightly:s")).waiting
    monkeypatch.undo()
    await clock.advance(600)
    async with opened(flow) as engine:
        await ended(engine)
        assert await hours(engine) == ["01:00"]
        row = await engine.scheduler.schedules.get("default", "nightly:s")
        assert (row.waiting, row.last_run_id) == ((), (await runs(engine))[0].row.run_id)


async def test_a_run_that_was_begun_just_before_a_crash_is_cancelled_for_the_next_time(
    opened, clock, monkeypatch
):
    """The process dies once the run is written down, and comes back after the schedule's next time."""
    flow = slow(overlap="cancel_running")
    async with opened(flow) as engine:
        reached = asyncio.Event()

        async def dying(*_, **__):
            reached.set()
            await asyncio.Event().wait()  # until the process is gone

        monkeypatch.setattr(type(engine.scheduler.schedules), "record_outcome", dying)
        await clock.advance(HOUR)
        await reached.wait()
    monkeypatch.undo()
    await clock.advance(HOUR)
    async with opened(flow) as engine:
        await pass_hours(engine, clock, 1)
        assert await hours(engine, "slow") == ["01:00", "02:00", "03:00"]
        assert [run.state for run in await runs(engine, "slow")] == ["cancelled", "cancelled", "running"]


# --- overlap -----------------------------------------------------------------------------------------------


async def answer(engine, run):
    await engine.service.signal(run.row, "answer", None, 1, by="story")
    assert await engine.service.wait_end(run.row.run_key)
    await engine.service.clock.advance(0)  # the scheduler hears of the end too
    await engine.scheduler.settled()


async def pass_hours(engine, clock, count):
    for _ in range(count):
        await clock.advance(HOUR)
        await engine.scheduler.settled()


async def test_skip_drops_times_while_a_run_is_open(opened, clock):
    async with opened(slow()) as engine:
        await pass_hours(engine, clock, 3)
        (run,) = await runs(engine, "slow")
        await answer(engine, run)
        await pass_hours(engine, clock, 1)

        assert await hours(engine, "slow") == ["01:00", "04:00"]
        row = await engine.scheduler.schedules.get("default", "slow:s")
        assert (row.skipped, row.running) == (2, ((await runs(engine, "slow"))[1].row.run_id,))


async def test_queue_starts_them_one_after_the_other_also_after_a_restart(opened, clock):
    flow = slow(overlap="queue")
    async with opened(flow) as engine:
        await pass_hours(engine, clock, 3)
        assert await hours(engine, "slow") == ["01:00"]
        await answer(engine, (await runs(engine, "slow"))[0])
        assert await hours(engine, "slow") == ["01:00", "02:00"]
    async with opened(flow) as engine:
        assert await hours(engine, "slow") == ["01:00", "02:00"]
        await answer(engine, (await runs(engine, "slow"))[1])
        assert await hours(engine, "slow") == ["01:00", "02:00", "03:00"]


async def test_cancel_running_ends_the_open_run_first(opened, clock):
    async with opened(slow(overlap="cancel_running")) as engine:
        await pass_hours(engine, clock, 2)
        first, second = await runs(engine, "slow")
        assert (first.state, second.state) == ("cancelled", "running")
        assert second.row.created_at >= first.row.finished_at


# --- pausing, changing, triggering -------------------------------------------------------------------------


async def test_a_paused_schedule_starts_nothing_and_goes_on_from_when_it_is_resumed(opened, clock):
    flow = quick(every="1h", catch_up="all", overlap="queue")
    async with opened(flow) as engine:
        await engine.scheduler.pause("default", "nightly:s")
        await clock.advance(2.5 * HOUR)
        await engine.scheduler.settled()
    async with opened(flow) as engine:
        assert await runs(engine) == []
        row = await engine.scheduler.resume("default", "nightly:s")
        await pass_hours(engine, clock, 1)
        await ended(engine)
        assert await hours(engine) == ["03:00"]
        assert engine.scheduler.upcoming(row, 2) == [from_rfc3339(f"2026-01-01T0{h}:00:00Z") for h in (4, 5)]


async def test_pausing_forgets_what_waits(opened, clock):
    async with opened(slow(overlap="queue")) as engine:
        await pass_hours(engine, clock, 2)
        await engine.scheduler.pause("default", "slow:s")
        await answer(engine, (await runs(engine, "slow"))[0])
        assert await hours(engine, "slow") == ["01:00"]


async def test_a_schedule_may_be_paused_while_it_looks_whether_its_next_run_may_start(
    opened, clock, monkeypatch, caplog
):
    async with opened(slow(overlap="queue")) as engine:
        await pass_hours(engine, clock, 2)
        look = type(engine.runs).get

        async def pausing(self, run_id):
            monkeypatch.undo()
            await engine.scheduler.pause("default", "slow:s")
            return await look(self, run_id)

        (run,) = await runs(engine, "slow")
        monkeypatch.setattr(type(engine.runs), "get", pausing)
        await answer(engine, run)
        assert await hours(engine, "slow") == ["01:00"]
        assert "failed" not in caplog.text


async def test_another_version_brings_its_own_schedules(opened, clock):
    first = quick("nightly", "v1", {"name": "kept", "every": "1h"}, {"name": "gone", "every": "1h"})
    second = quick("nightly", "v2", {"name": "kept", "every": "1h"}, {"name": "new", "every": "2h"})
    async with opened(first) as engine:
        await pass_hours(engine, clock, 1)
        await engine.scheduler.pause("default", "nightly:kept")
    async with opened(first, second) as engine:
        found = {row.schedule.name: row for row in await engine.scheduler.schedules.list("default")}
        assert {name: row.declared_in for name, row in found.items()} == {"kept": "v2", "new": "v2"}
        assert found["kept"].paused
        assert found["kept"].last_run_id
        await engine.catalog.activate("default", "nightly", "v1")
        names = [row.schedule.name for row in await engine.scheduler.schedules.list("default")]
        assert names == ["gone", "kept"]
        await pass_hours(engine, clock, 1)
        await ended(engine)
        assert sorted(run.row.tags["schedule"] for run in await runs(engine)) == ["gone", "gone", "kept"]


async def test_each_tenant_has_the_schedules_of_a_file(opened, clock):
    async with opened(quick(every="1h")) as engine:
        await engine.catalog.publish_loaded("acme")
        await pass_hours(engine, clock, 1)
        await ended(engine)
        assert len(await runs(engine)) == len(await runs(engine, tenant="acme")) == 1


async def test_a_schedule_is_made_changed_and_deleted(opened, clock):
    flow = quick("nightly", "v1", {"name": "declared", "every": "30d"})
    async with opened(flow) as engine:
        scheduler = engine.scheduler
        made = await scheduler.create("default", "nightly", Schedule(name="own", every=3600.0))
        with pytest.raises(ScheduleConflict):
            await scheduler.create("default", "nightly", Schedule(name="own", every=60.0))
        await pass_hours(engine, clock, 1)
        await scheduler.replace("default", made.schedule_id, Schedule(name="own", cron="45 * * * *"))
        await scheduler.replace("default", made.schedule_id, Schedule(name="own", cron="15 * * * *"))
        await pass_hours(engine, clock, 1)
        await scheduler.delete("default", made.schedule_id)
        await pass_hours(engine, clock, 1)
        await ended(engine)

        assert await hours(engine) == ["01:00", "01:15"]
        for act in (
            scheduler.delete("default", made.schedule_id),
            scheduler.pause("default", "x:y"),
        ):
            with pytest.raises(ScheduleNotFound):
                await act
        with pytest.raises(ScheduleDeclared, match="declares nightly:declared in version v1"):
            await scheduler.delete("default", "nightly:declared")
        with pytest.raises(DefinitionInvalid, match="needs cron or every"):
            await scheduler.create("default", "nightly", Schedule(name="none"))


async def test_a_run_can_be_triggered_at_any_time(opened, clock):
    async with opened(slow(paused=True)) as engine:
        row = await engine.scheduler.schedules.get("default", "slow:s")
        first = (await engine.scheduler.trigger(row, Principal("default", "eve"))).run
        second = (await engine.scheduler.trigger(row, Principal("default", "eve"))).run
        assert (first.trigger, first.by, first.tags["schedule"]) == ("schedule", "eve", "s")
        assert first.run_id != second.run_id
        row = await engine.scheduler.schedules.get("default", "slow:s")
        assert (row.running, row.last_run_id) == ((first.run_id, second.run_id), second.run_id)


async def test_a_run_that_is_triggered_takes_no_time_off_the_line(opened, clock):
    """Triggered at the very moment for which a time waits in line."""
    async with opened(slow(overlap="queue")) as engine:
        await pass_hours(engine, clock, 2)
        row = await engine.scheduler.schedules.get("default", "slow:s")
        assert row.waiting == (clock.now(),)
        await engine.scheduler.trigger(row, Principal("default", "eve"))
        assert (await engine.scheduler.schedules.get("default", "slow:s")).waiting == (clock.now(),)


# --- trouble -----------------------------------------------------------------------------------------------


async def test_a_run_that_cannot_start_is_told_and_the_next_time_comes_all_the_same(opened, clock, caplog):
    stricter = Workflow("nightly", version="v2", input={"type": "object", "required": ["x"]})
    stricter.sleep("nap", 1)
    async with opened(quick("nightly", "v1", {"name": "declared", "every": "30d"})) as engine:
        await engine.scheduler.create("default", "nightly", Schedule(name="s", every=3600.0))
        await engine.catalog.load(stricter)
        await pass_hours(engine, clock, 2)
        row = await engine.scheduler.schedules.get("default", "nightly:s")
        assert (row.last_at, row.waiting, row.last_run_id) == (clock.now(), (), None)
        assert "The input does not match the schema of nightly" in row.last_error
    assert "schedule nightly:s of tenant default made no run" in caplog.text


async def test_a_full_queue_of_runs_only_delays(opened, clock):
    flow = quick(every="1h")
    async with opened(flow, max_running=0, max_queued=0) as engine:
        await clock.advance(HOUR)
        await engine.scheduler.settled()
        assert await runs(engine) == []
        object.__setattr__(engine.settings, "max_queued", 5)
        await clock.advance(5)
        await engine.scheduler.settled()
        assert await hours(engine) == ["01:00"]


async def test_an_engine_for_one_run_starts_none_by_schedule(opened, clock):
    flow = quick(every="1h")
    async with opened(flow, schedules=False) as engine:
        await pass_hours(engine, clock, 2)
        assert await runs(engine) == []
    async with opened(flow) as engine:
        await pass_hours(engine, clock, 1)
        await ended(engine)
        assert await hours(engine) == ["03:00"]


async def test_a_machine_that_has_slept_makes_up_for_it(opened, clock):
    """The timer rings late, as it does where the clock was set forward."""
    async with opened(quick(every="1h")) as engine:
        clock._now += 5 * HOUR * 1000 + 1800_000
        await clock.advance(0)
        await ended(engine)
        assert await hours(engine) == ["05:00"]
