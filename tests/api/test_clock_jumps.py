"""The machine's clock is set forward or back by hours, under a server or while it is down."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from infraweave import Retry, Workflow
from infraweave.core.data.values import from_rfc3339
from infraweave.engine import clock as seam
from infraweave.engine.clock import SystemClock
from infraweave.settings import Settings
from infraweave.store.maintenance.verify import verify
from tests.api.conftest import Api, told

HOUR = 3_600_000
NOON = 1_767_268_800_000  # 2026-01-01T12:00:00Z
ENDS = ("completed", "failed", "cancelled")


class Wall:
    """The machine's clock, set by hand; it goes on by itself, as clocks do."""

    def __init__(self, monkeypatch) -> None:
        self.now = NOON
        turned = SimpleNamespace(time_ns=self._read, monotonic=time.monotonic)
        monkeypatch.setattr(seam, "time", turned)

    def _read(self) -> int:
        return self.now * 1_000_000

    def clock(self) -> SystemClock:
        """The clock of a process that begins; it looks often, so that tests need not wait."""
        clock = SystemClock()
        clock.max_sleep = 0.02
        return clock


def workflows(gate: asyncio.Event) -> tuple[Workflow, ...]:
    """Runs that wait: for a timer alone, for one beside a body in flight, for a person, for a retry."""
    resting = Workflow("resting", version="v1")
    resting.sleep("nap", "3h")

    busy = Workflow("busy", version="v1")
    busy.sleep("nap", "3h")

    @busy.node
    async def body() -> str:
        await gate.wait()
        return "done"

    asking = Workflow("asking", version="v1")

    @asking.human_input(schema={"type": "boolean"}, timeout="3h")
    def approval() -> str:
        return "Well?"

    flaky = Workflow("flaky", version="v1")

    @flaky.node(retry=Retry(max_attempts=2, initial=3 * 3600, maximum=3 * 3600, jitter=False))
    async def tries() -> None:
        raise ValueError("not yet")

    quick = Workflow("quick", version="v1")

    @quick.node
    async def works() -> int:
        return 1

    quick.schedule("hourly", every="1h", catch_up="all", overlap="queue")
    return resting, busy, asking, flaky, quick


#: What is recorded when a run has come to where it waits, and what when its time has come.
WAITS = {
    "resting": "node_started",
    "busy": "node_started",
    "asking": "input_requested",
    "flaky": "node_failed",
}
COMES = {"resting": "completed", "busy": "node_completed", "asking": "failed", "flaky": "failed"}


@pytest.fixture
def wall(monkeypatch):
    return Wall(monkeypatch)


@pytest.fixture
def gate():
    return asyncio.Event()


@pytest.fixture
def opened(serve, api_of, wall, gate):
    """Serve the file, on the machine's clock; the token outlives the process."""

    @asynccontextmanager
    async def opening(**options):
        async with serve(*workflows(gate), clock=wall.clock(), **options) as server, api_of(server) as api:
            yield api
            gate.set()

    return opening


async def waiting(api: Api) -> dict[str, str]:
    """Start one run of each and let it come to where it waits; return their ids."""
    runs = {name: await api.start(name, input={}) for name in WAITS}
    for name, run_id in runs.items():
        await api.until(run_id, WAITS[name])
    return runs


async def events(api: Api, run_id: str) -> list[dict]:
    answer = await api.get(f"/v1/runs/{run_id}/events", headers={"Accept": "application/json"})
    return answer.json()["events"]


async def all_events(api: Api, runs: dict[str, str]) -> dict[str, list[dict]]:
    return {name: await events(api, run_id) for name, run_id in runs.items()}


async def has_come(api: Api, runs: dict[str, str], after: dict[str, list[dict]]) -> None:
    """Wait until the time of each has come; check that it was not early, and that what there was stays."""
    for name, run_id in runs.items():
        seen = after[name]
        async for event in api.server.client.events(run_id, after=seen[-1]["seq"]):
            seen = [*seen, event]
            if event["type"] == COMES[name]:
                break
        bodies = [event["attempt"] for event in seen if event["type"] == "node_started" and name == "busy"]
        assert bodies == [1] * len(bodies)  # what is in flight goes on, and does not begin again
        assert from_rfc3339(seen[-1]["at"]) >= NOON + 3 * HOUR, name
        assert (await events(api, run_id))[: len(seen)] == seen


async def looks_twice(api: Api) -> None:
    """Let everybody who looks at the clock do so some times."""
    await asyncio.sleep(0.1)  # a real nap, on the machine's clock
    await api.get("/healthz")


async def walk(api: Api) -> list[str]:
    """Return all runs, newest first, in pages of two."""
    found, cursor = [], ""
    while True:
        page = (await api.get(f"/v1/runs?limit=2{cursor}")).json()
        found += [run["run_id"] for run in page["runs"]]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


# --- forward -----------------------------------------------------------------------------------------------


async def test_a_clock_that_is_set_forward_makes_due_what_is_due_by_it(opened, wall, db):
    async with opened() as api:
        runs = await waiting(api)
        before = await all_events(api, runs)
        wall.now = NOON + 5 * HOUR
        await has_come(api, runs, before)
    assert list(verify(db)) == []


async def test_a_schedule_makes_each_time_that_was_jumped_over_once(opened, wall, db):
    async with opened() as api:
        wall.now = NOON + 5 * HOUR
        async with asyncio.timeout(20):
            while len(found := (await api.get("/v1/runs?trigger=schedule")).json()["runs"]) < 5:
                await looks_twice(api)
        times = [run["tags"]["scheduled_at"][11:16] for run in reversed(found)]
        assert times == ["13:00", "14:00", "15:00", "16:00", "17:00"]
        wall.now = NOON + 2 * HOUR
        await looks_twice(api)
        await api.server.engine.scheduler.settled()
        assert len((await api.get("/v1/runs?trigger=schedule")).json()["runs"]) == 5
    wall.now = NOON + 3 * HOUR
    async with opened() as api:  # the clock was set back while nobody served
        await looks_twice(api)
        await api.server.engine.scheduler.settled()
        assert len((await api.get("/v1/runs?trigger=schedule")).json()["runs"]) == 5
    assert list(verify(db)) == []


async def test_a_token_expires_by_the_clock_as_it_is(opened, wall):
    async with opened() as api:
        token = await api.token("read:workflow:*", life=None)
        short = await api.token("read:workflow:*", life=2 * HOUR, name="short")
        who = await api.with_headers({"Authorization": f"Bearer {short}"})
        other = await api.with_headers({"Authorization": f"Bearer {token}"})
        assert (await who.get("/v1/whoami")).status_code == 200
        wall.now = NOON + 3 * HOUR
        assert told(await who.get("/v1/whoami")) == (401, "unauthenticated")
        wall.now = NOON
        assert (await who.get("/v1/whoami")).status_code == 200
        assert (await other.get("/v1/whoami")).status_code == 200


async def test_a_token_that_is_made_after_a_glitch_expires_in_its_time(opened, wall):
    async with opened() as api:
        wall.now = NOON + 24 * HOUR
        await api.get("/v1/whoami")
        wall.now = NOON
        short = await api.token("read:workflow:*", life=2 * HOUR, name="short")
        who = await api.with_headers({"Authorization": f"Bearer {short}"})
        assert (await who.get("/v1/whoami")).status_code == 200
        wall.now = NOON + 3 * HOUR
        assert told(await who.get("/v1/whoami")) == (401, "unauthenticated")


async def test_after_a_glitch_everything_comes_in_its_own_time(opened, wall, db, caplog):
    """A day ahead for two seconds, while all that waits begins, and a moment before."""
    async with opened() as api:
        before = await waiting(api)
        wall.now = NOON + 24 * HOUR
        await api.get("/v1/whoami")
        wall.now = NOON
        after = await waiting(api)
        seen = await all_events(api, after)
        wall.now = NOON + 3 * HOUR - 1
        await looks_twice(api)
        assert await all_events(api, after) == seen
        wall.now = NOON + 3 * HOUR
        await has_come(api, after, seen)
        for name, run_id in before.items():
            await api.until(run_id, COMES[name])
    said = [record.getMessage() for record in caplog.records]
    assert [size for told in said for size in ("forward by 1d,", "back by 1d,") if size in told] == [
        "forward by 1d,",
        "back by 1d,",
    ]
    assert list(verify(db)) == []


@pytest.mark.parametrize("catch_up", ["last", "skip"])
@pytest.mark.parametrize("restarts", [False, True])
async def test_after_a_glitch_a_schedule_misses_no_time_and_doubles_none(
    serve, api_of, wall, db, catch_up, restarts
):
    ticks = Workflow("ticks", version="v1")

    @ticks.node
    async def tick() -> int:
        return 1

    ticks.schedule("often", every="6h", catch_up=catch_up, overlap="skip")

    async def times(api, count) -> list[str]:
        async with asyncio.timeout(20):
            while len(found := (await api.get("/v1/runs?trigger=schedule")).json()["runs"]) < count:
                await looks_twice(api)
        await api.server.engine.scheduler.settled()
        return sorted(run["tags"]["scheduled_at"][8:13] for run in found)

    async with serve(ticks, clock=wall.clock()) as server, api_of(server) as api:
        wall.now = NOON + 24 * HOUR
        assert await times(api, 1) == ["02T12"]
        wall.now = NOON + 60_000
        await looks_twice(api)
        if not restarts:
            wall.now = NOON + 6 * HOUR
            assert await times(api, 2) == ["01T18", "02T12"]
    async with serve(ticks, clock=wall.clock()) as server, api_of(server) as api:
        for hours, count in ((6, 2), (12, 3), (18, 4), (24, 4), (30, 5)):
            wall.now = NOON + hours * HOUR
            seen = await times(api, count)
        assert seen == ["01T18", "02T00", "02T06", "02T12", "02T18"]
    assert list(verify(db)) == []


# --- back --------------------------------------------------------------------------------------------------


async def test_a_clock_that_is_set_back_makes_nothing_early_and_loses_nothing(opened, wall, db):
    async with opened() as api:
        runs = await waiting(api)
        before = await all_events(api, runs)
        wall.now = NOON - 5 * HOUR
        await looks_twice(api)
        assert await all_events(api, runs) == before
        wall.now = NOON + 3 * HOUR - 1
        await looks_twice(api)
        assert await all_events(api, runs) == before
        wall.now = NOON + 3 * HOUR
        await has_come(api, runs, before)
    assert list(verify(db)) == []


async def test_a_clock_that_is_set_back_while_nobody_serves_changes_nothing_either(opened, wall, gate, db):
    async with opened() as api:
        runs = await waiting(api)
        del runs["busy"]  # its body ends with the server
        before = await all_events(api, runs)
    wall.now = NOON - 5 * HOUR
    async with opened() as api:
        await looks_twice(api)
        assert await all_events(api, runs) == before
        wall.now = NOON + 3 * HOUR
        await has_come(api, runs, before)
    assert list(verify(db)) == []


async def test_lists_cursors_and_keys_hold_though_ids_are_of_an_earlier_time(opened, wall, db):
    async with opened() as api:
        made = [await api.start("quick", input={}) for _ in range(3)]
        keyed = {"workflow_id": "quick", "input": {}}
        first = await api.post("/v1/runs", keyed, headers={"Idempotency-Key": "k"})
        made.append(first.json()["run_id"])
        ended = {run_id: await api.until(run_id, *ENDS) for run_id in made}
    wall.now = NOON - 5 * HOUR
    async with opened() as api:
        made += [await api.start("quick", input={}) for _ in range(3)]
        assert sorted(made) != made  # the later ids are of an earlier time
        assert await walk(api) == made[::-1]
        again = await api.post("/v1/runs", keyed, headers={"Idempotency-Key": "k"})
        assert (again.status_code, again.json()["run_id"]) == (200, made[3])
        page = (await api.get("/v1/runs?limit=3")).json()
        made.append(await api.start("quick", input={}))  # while somebody walks
        rest = (await api.get(f"/v1/runs?limit=9&cursor={page['next_cursor']}")).json()["runs"]
        assert [run["run_id"] for run in page["runs"] + rest] == made[-2::-1]
        since = (await api.get("/v1/runs?started_after=2026-01-01T11:00:00Z")).json()["runs"]
        assert [run["run_id"] for run in since] == made[3::-1]
        for run_id in made:
            await api.until(run_id, *ENDS)
        assert {run_id: await events(api, run_id) for run_id in ended} == ended
    assert list(verify(db)) == []


async def test_an_answer_that_comes_before_its_question_by_the_clock_is_taken(opened, wall, db):
    async with opened() as api:
        run_id = await api.start("asking", input={})
        await api.until(run_id, "input_requested")
    wall.now = NOON - 5 * HOUR
    async with opened() as api:
        sent = await api.post(f"/v1/runs/{run_id}/signals/approval", {"payload": True})
        assert sent.status_code == 202
        assert (await api.until(run_id, *ENDS))[-1]["type"] == "completed"
        run = (await api.get(f"/v1/runs/{run_id}")).json()
        assert run["state"] == "succeeded"
        assert run["nodes"][0]["latency_ms"] >= 0
        rows = (await api.get(f"/v1/runs/{run_id}/history")).json()["history"]
        assert all(row["latency_ms"] >= 0 for row in rows)
    assert list(verify(db)) == []


async def test_a_token_may_ask_as_often_as_before(opened, wall):
    """How often is counted by a clock that nobody sets."""
    async with opened(settings=Settings(requests_per_second=1_000.0, request_burst=2)) as api:
        wall.now = NOON - 5 * HOUR
        statuses = []
        for _ in range(10):
            statuses.append((await api.get("/v1/whoami")).status_code)
            await asyncio.sleep(0.005)
        assert statuses == [200] * 10
