"""Events in and out, and followers: each event once and in order, whenever one joins, however slow."""

from __future__ import annotations

import asyncio

import pytest
from attrs import evolve

from infraweave.errors import Unstorable
from infraweave.store import follow
from infraweave.store.journal import Head, Journal, RunAppend
from infraweave.store.projection import project

from .histories import entry, opening, status, steps, success, termination


class Clock:
    """Lets time pass when told to."""

    def __init__(self):
        self.sleepers = []

    async def sleep(self, seconds):
        done = asyncio.get_running_loop().create_future()
        self.sleepers.append((seconds, done))
        await done

    def ring(self):
        for _, done in self.sleepers:
            done.done() or done.set_result(None)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def journal(db, clock):
    return Journal(db, clock.sleep)


@pytest.fixture
def reads(db, monkeypatch):
    """The names of the statements that were read."""
    names = []
    read = type(db).read

    async def counted(self, name, params=()):
        names.append(name)
        return await read(self, name, params)

    monkeypatch.setattr(type(db), "read", counted)
    return names


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


async def collected(follower):
    return [event async for page in follower for event in page]


async def test_what_is_loaded_is_what_was_appended(journal):
    events = opening(tags={"cup": "blue"}) + steps(2, 700) + success(702)
    await journal.append([entry(1, events)])

    assert await journal.load(1) == events
    assert await journal.load(1, after=500) == events[500:]
    assert await journal.last_seq(1) == 703
    assert await journal.head(1) == Head(703, terminal=True)


async def test_without_payloads_only_the_feed_is_loaded(journal):
    await journal.append([entry(1, opening() + steps(2, 2))])
    first, started, completed = await journal.load(1, payloads=False)

    assert (first.origin, first.input, started.input, completed.output) == (None, None, None, None)
    assert completed.latency_ms == 5


async def test_what_was_stored_is_decoded_as_it_was(journal):
    events = opening() + steps(2, 2)
    await journal.append([entry(1, events)])

    stored = await journal.read(1, 0, 10)
    assert [one.event() for one in stored] == events


async def test_entries_of_several_runs_are_one_commit(db, journal):
    await journal.append([entry(1, opening()), entry(2, opening(parent_run_id="run_1"))])
    await db.append(journal_rows(2, status(3, "failed")))
    await asyncio.gather(
        journal.append([entry(1, steps(2, 2)), entry(2, [*steps(2, 1), status(3, "failed")])]),
        return_exceptions=True,
    )

    assert await journal.last_seq(1) == 1


def journal_rows(run_key, event):
    return project(run_key, f"run_{run_key}", [event])


async def test_an_event_that_json_cannot_carry_is_refused_before_anything_is_written(journal):
    with pytest.raises(Unstorable):
        journal.append([entry(1, opening()), RunAppend(2, "run_2", [bad_event()])])

    assert await journal.last_seq(1) == 0


def bad_event():
    return evolve(steps(2, 1)[0], input=object())


async def test_a_page_of_big_events_ends_early_but_holds_one_at_least(journal):
    big = "x" * (3 << 20)
    template = steps(3, 1)[0]
    events = opening() + [evolve(template, seq=seq, output=big) for seq in (2, 3, 4)]
    await journal.append([entry(1, events)])

    assert [len(await journal.read(1, after, 100)) for after in (0, 1, 3)] == [3, 2, 1]
    assert len(await journal.read(1, 0, 100, payloads=False)) == 4
    assert await journal.load(1) == events


async def test_a_follower_gets_what_is_stored_then_what_comes_then_the_end(journal):
    await journal.append([entry(1, opening() + steps(2, 10))])
    async with journal.follow(1) as follower:
        task = asyncio.create_task(collected(follower))
        await settle()
        await journal.append([entry(1, steps(12, 3))])
        await journal.append([entry(1, success(15))])
        events = await task

    assert [event.seq for event in events] == list(range(1, 17))
    assert follower.ended
    assert await follower.next() == []


@pytest.mark.parametrize("page", [1, 2, 7, 256])
@pytest.mark.parametrize("step", [1, 3, 300])
async def test_followers_that_join_at_any_moment_see_each_event_once(journal, page, step, monkeypatch):
    monkeypatch.setattr(follow, "TAIL_EVENTS", 16)
    last = 601
    await journal.append([entry(1, opening())])

    async def writer():
        for seq in range(2, last + 1, step):
            await journal.append([entry(1, steps(seq, min(step, last + 1 - seq)))])
        await journal.append([entry(1, success(last + 1))])

    async def reader(patience, after):
        for _ in range(patience):
            await asyncio.sleep(0)
        async with journal.follow(1, after, page) as follower:
            return [event.seq for event in await collected(follower)]

    readers = [reader(patience, after) for patience in range(0, 60, 3) for after in (0, 1)]
    _, *seen = await asyncio.gather(writer(), *readers)

    for after, seqs in zip([0, 1] * 20, seen, strict=True):
        assert seqs == list(range(after + 1, last + 3))


async def test_a_commit_between_joining_and_waiting_is_not_missed(journal):
    await journal.append([entry(1, opening())])
    async with journal.follow(1, after=1) as follower:
        commit = journal.append([entry(1, steps(2, 1))])
        page = await follower.next()
        await commit

    assert [event.seq for event in page] == [2]


async def test_the_tail_says_what_the_table_says(journal):
    await journal.append([entry(1, opening())])
    async with journal.follow(1, after=1) as follower:
        await journal.append([entry(1, steps(2, 40))])
        from_tail = await follower.next()

    assert from_tail == await journal.read(1, 1, 100)


async def test_many_who_watch_one_run_share_the_tail(journal, reads):
    await journal.append([entry(1, opening())])
    async with journal.follow(1, after=1) as one, journal.follow(1, after=1) as other:
        reads.clear()
        pages = asyncio.gather(one.next(), other.next())
        await settle()
        await journal.append([entry(1, steps(2, 2))])
        first, second = await pages

    assert first == second
    assert reads == []


async def test_who_lags_behind_the_tail_reads_the_table(journal, monkeypatch):
    monkeypatch.setattr(follow, "TAIL_BYTES", 3000)
    await journal.append([entry(1, opening())])
    async with journal.follow(1, after=1, page=4) as follower:
        for seq in range(2, 102):
            await journal.append([entry(1, steps(seq, 1))])
        await journal.append([entry(1, success(102))])
        topic = follower._topic

        assert sum(event.size for event in topic.tail) <= 3000
        assert [event.seq for event in await collected(follower)] == list(range(2, 104))


async def test_an_event_larger_than_the_tail_still_arrives(journal, monkeypatch):
    monkeypatch.setattr(follow, "TAIL_BYTES", 10)
    await journal.append([entry(1, opening())])
    async with journal.follow(1, after=1) as follower:
        await journal.append([entry(1, success(2))])

        assert [event.seq for event in await collected(follower)] == [2, 3]


async def test_when_the_time_is_up_there_is_an_empty_page_and_nothing_is_lost(journal, clock):
    await journal.append([entry(1, opening())])
    async with journal.follow(1, after=1) as follower:
        waiting = asyncio.create_task(follower.next(15))
        await settle()
        clock.ring()
        assert await waiting == []
        assert not follower.ended

        await journal.append([entry(1, steps(2, 1))])
        assert [event.seq for event in await follower.next(15)] == [2]

    assert [seconds for seconds, _ in clock.sleepers] == [15]


async def test_an_event_ends_the_wait_before_the_time_is_up(journal, clock):
    await journal.append([entry(1, opening())])
    async with journal.follow(1, after=1) as follower:
        waiting = asyncio.create_task(follower.next(15))
        await settle()
        await journal.append([entry(1, steps(2, 1))])

        assert [event.seq for event in await waiting] == [2]
    await settle()
    assert all(done.cancelled() for _, done in clock.sleepers)


async def test_another_runs_events_wake_nobody(journal, clock):
    await journal.append([entry(1, opening())])
    async with journal.follow(1, after=1) as follower:
        waiting = asyncio.create_task(follower.next(15))
        await settle()
        await journal.append([entry(2, opening())])
        await settle()
        assert not waiting.done()
        clock.ring()
        assert await waiting == []


async def test_who_comes_back_at_the_end_is_told_that_it_has_ended(journal):
    await journal.append([entry(1, opening() + termination(2))])
    async with journal.follow(1, after=3) as follower:
        assert (follower.ended, follower.head) == (True, 3)
        assert await follower.next() == []

    async with journal.follow(1, after=2) as follower:
        assert not follower.ended
        assert [event.type for event in await follower.next()] == ["cancelled"]
        assert follower.ended


async def test_a_cursor_past_the_head_can_be_told(journal):
    await journal.append([entry(1, opening())])
    async with journal.follow(1, after=9) as follower:
        assert follower.head == 1


async def test_a_cancelled_follower_leaves_nothing_behind(journal):
    await journal.append([entry(1, opening())])

    async def watch():
        async with journal.follow(1) as follower:
            await collected(follower)

    task = asyncio.create_task(watch())
    await settle()
    assert journal._topics
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert not journal._topics


async def test_a_reader_that_never_waits_lets_others_run(journal):
    await journal.append([entry(1, opening() + steps(2, 500) + success(502))])
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    async with journal.follow(1, page=10) as follower:
        await collected(follower)
    task.cancel()

    assert turns >= 50
