"""One stream tells which runs change: of the caller's workflows, in batches, without a history."""

from __future__ import annotations

import asyncio
import gc
import json
from contextlib import asynccontextmanager

import pytest

from infraweave.errors import StorageUnavailable
from infraweave.settings import Settings
from tests.api.conftest import told
from tests.api.test_stream import YES, blocks

PATH = "/v1/runs/changes"
MANY = {"event": "many_changed", "data": "{}"}


class Reader:
    def __init__(self, answer):
        self.answer, self.chunks, self.text = answer, answer.aiter_text(), ""

    async def next(self):
        """Return the blocks of the next batch."""
        self.text += (chunk := await anext(self.chunks))
        return blocks(chunk)

    async def until(self, clock, **wanted):
        """Return the run that comes with these fields, letting time pass as it must."""
        while True:
            coming = asyncio.create_task(self.next())
            while not coming.done():
                await clock.advance(0.1)
            for run in runs(await coming):
                if wanted.items() <= run.items():
                    return run


@asynccontextmanager
async def watching(api):
    async with api.http.stream("GET", PATH) as answer:
        assert answer.status_code == 200, await answer.aread()
        yield Reader(answer)


def runs(batch):
    assert {block["event"] for block in batch} <= {"run_changed"}, batch
    return [json.loads(block["data"]) for block in batch]


async def test_a_run_comes_as_the_list_shows_it_whenever_it_has_changed(api, clock):
    async with watching(api) as reader:
        assert reader.answer.headers["Content-Type"] == "text/event-stream"
        run_id, _ = await api.asked()
        await reader.until(clock, run_id=run_id, state="running")
        await api.post(f"/v1/runs/{run_id}/signals/approval", YES)
        told = await reader.until(clock, run_id=run_id, state="succeeded")
        assert told == (await api.get("/v1/runs")).json()["runs"][0]
        assert reader.text.startswith("retry: 1000\nevent: run_changed\ndata: {")
        assert (reader.text.count("retry:"), reader.text.count("id: ")) == (1, 0)


async def test_a_request_to_a_person_changes_its_run_too(api, clock):
    async with watching(api) as reader:
        run_id, _ = await api.asked()
        last = (await api.get(f"/v1/runs/{run_id}")).json()["last_seq"]
        await reader.until(clock, run_id=run_id, last_seq=last)


async def test_nothing_comes_of_what_was_before(api, clock):
    await api.ended()
    async with watching(api) as reader:
        run_id = await api.ended()
        await reader.until(clock, state="succeeded")
        assert run_id in reader.text
        assert len({run["run_id"] for run in runs(blocks(reader.text))}) == 1


async def test_batches_are_half_a_second_apart_and_hold_each_run_once(api, clock):
    async with watching(api) as reader:
        await api.start("asking")
        await reader.next()
        ids = {await api.ended() for _ in range(3)}
        coming = asyncio.create_task(reader.next())
        await clock.advance(0.4)
        await asyncio.wait({coming}, timeout=0.05)
        assert not coming.done()
        await clock.advance(0.1)
        batch = runs(await coming)
        assert {run["run_id"] for run in batch} >= ids
        assert len(batch) == len({run["run_id"] for run in batch})
        assert all(run["state"] == "succeeded" for run in batch if run["run_id"] in ids)


@pytest.mark.parametrize(("count", "many"), [(100, False), (101, True)])
async def test_of_more_than_a_hundred_it_is_said_only_that_there_are_many(api, clock, count, many):
    body = {"workflow_id": "asking", "input": {"amount": 1}, "start_at": "2027-01-01T00:00:00Z"}
    async with watching(api) as reader:
        await api.post("/v1/runs/batch", {"runs": [body] * count})
        batch = await reader.next()
        assert batch == [{"retry": "1000", **MANY}] if many else len(runs(batch)) == count


async def test_what_a_slow_reader_has_not_taken_is_told_once_and_is_bounded(api, clock):
    engine = api.server.engine
    watch, later = engine.changes.subscribe("default", None), "2027-01-01T00:00:00Z"
    body = {"workflow_id": "quick", "input": {"amount": 1}, "start_at": later}
    run_id, _ = await api.asked()
    await clock.advance(0.5)
    await api.post(f"/v1/runs/{run_id}/signals/approval", YES)
    await api.until(run_id, "completed")
    state = "running"
    while state != "succeeded":  # what was read before the end may come first
        await clock.advance(0.5)
        told = watch.drain().runs
        assert [changed.row.run_id for changed in told] in ([], [run_id])
        state = told[0].row.state if told else state
    prompt, seen = engine.changes.subscribe("default", None), set()
    for count in (60, 120):
        await api.post("/v1/runs/batch", {"runs": [body] * 60})
        while len(seen) < count:
            await clock.advance(0.5)
            seen |= {changed.row.run_id for changed in prompt.drain().runs}
    assert watch.drain().many
    assert not watch.drain().runs


async def test_only_readable_runs_of_ones_own_tenant_come(api, clock):
    eve = await api.other("read:workflow:quick")
    stranger = await api.other("read:workflow:*", "execute:workflow:*", tenant="elsewhere")
    async with watching(eve) as hers, watching(stranger) as theirs:
        await api.ended("failing")
        quick = await api.ended()
        await hers.until(clock, run_id=quick, state="succeeded")
        own = await stranger.start()
        await theirs.until(clock, run_id=own, state="succeeded")
        assert {run["workflow_id"] for run in runs(blocks(hers.text))} == {"quick"}
        assert {run["run_id"] for run in runs(blocks(theirs.text))} == {own}


async def test_the_many_of_others_are_none_of_ones_business(api, clock):
    eve, body = await api.other("read:workflow:quick"), {"workflow_id": "asking", "input": {"amount": 1}}
    async with watching(eve) as reader:
        quick = {"workflow_id": "quick", "input": {"amount": 1}}
        await api.post("/v1/runs/batch", {"runs": [*([body] * 150), quick]})
        assert await reader.until(clock, state="succeeded")
        assert "many_changed" not in reader.text


async def test_a_grant_that_is_taken_away_counts_at_once(api, clock):
    eve = await api.other("read:workflow:quick", "read:workflow:failing")
    who = {"tenant": "default", "principal": "eve", "grant": "read:workflow:failing"}
    async with watching(eve) as reader:
        await api.http.delete("/v1/admin/grants", params=who)
        await api.ended("failing")
        await reader.until(clock, run_id=await api.ended(), state="succeeded")
        assert {run["workflow_id"] for run in runs(blocks(reader.text))} == {"quick"}


async def test_a_revoked_token_ends_its_stream(api):
    eve = await api.other("read:workflow:*")
    (token,) = [t for t in await api.server.engine.principals.list_tokens("default") if t.principal == "eve"]
    async with watching(eve) as reader:
        await api.http.delete(f"/v1/tokens/{token.token_id}")
        with pytest.raises(StopAsyncIteration):
            await reader.next()


async def test_a_token_that_expires_ends_its_stream(api, clock):
    token = await api.token("read:workflow:*", life=60_000)
    eve = await api.with_headers({"Authorization": f"Bearer {token}"})
    async with watching(eve) as reader:
        rest = asyncio.create_task(_rest(reader))
        while not rest.done():
            await clock.advance(10)


async def _rest(reader):
    return [chunk async for chunk in reader.chunks]


async def test_heartbeats_come_while_nothing_changes(api, clock):
    async with watching(api) as reader:
        beat = asyncio.create_task(anext(reader.chunks))
        while not beat.done():
            await clock.advance(1)
        assert (await beat).strip(":\n") == ""


async def test_a_drain_ends_the_stream(api):
    async with watching(api) as reader:
        api.server.engine.begin_drain()
        assert await _rest(reader) == []


async def test_a_database_that_cannot_be_read_ends_the_stream_so_that_the_client_begins_anew(
    api, monkeypatch
):
    async def fails(*_):
        raise StorageUnavailable

    async with watching(api) as reader:
        monkeypatch.setattr(type(api.server.engine.runs), "owners", fails)
        await api.start("asking")
        assert await _rest(reader) == []


async def test_streams_are_counted_and_limited_as_those_of_runs(open_api):
    async with open_api(settings=Settings(max_streams_per_principal=1)) as api:
        async with watching(api) as reader:
            await api.start("asking")
            await reader.next()
            assert "infraweave_event_streams 1.0" in (await api.get("/metrics")).text
            answer = await api.get(PATH)
            assert told(answer) == (429, "rate_limited")
            assert "Retry-After" in answer.headers
        while "infraweave_event_streams 0.0" not in (await api.get("/metrics")).text:
            pass


async def test_while_nobody_watches_a_commit_is_not_looked_at(api):
    assert (await api.http.head(PATH)).status_code == 200  # a stream that never begins
    async with watching(api):
        pass
    while "infraweave_event_streams 0.0" not in (await api.get("/metrics")).text:
        pass
    gc.collect()
    changes = api.server.engine.changes
    await api.ended()
    assert (len(changes._subscriptions), changes._touched, changes._task) == (0, set(), None)


async def test_it_is_a_stream_and_nothing_else(api):
    answer = await api.get(PATH, headers={"Accept": "application/json"})
    assert told(answer) == (406, "not_acceptable")
    assert told(await api.get(f"{PATH}?after=1")) == (400, "malformed_request")
