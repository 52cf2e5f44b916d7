"""Figures are read one question at a time, so that others find a reader."""

from __future__ import annotations

import asyncio

from infraweave.store.statistics import RunSelection, Statistics


async def test_a_question_whose_asker_has_gone_keeps_its_turn_while_it_is_read(db, monkeypatch):
    asked, reading, go_on = RunSelection(tenant="t", since=0, until=0), [], asyncio.Event()

    async def read(self, name, params=()):
        reading.append(name)
        await go_on.wait()
        return []

    monkeypatch.setattr(type(db), "read", read)
    statistics = Statistics(db)
    first, second = (asyncio.create_task(statistics.read(asked)) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    assert reading == ["ended_by_hour"]
    go_on.set()
    assert (await second).sampled_runs == 0
    assert reading.count("ended_by_hour") == 2
    assert first.cancelled()
