"""Random workflows with children and children's children, in a world full of trouble: what always holds."""

from __future__ import annotations

import asyncio
import random

import pytest

from infraweave.engine import clock
from infraweave.engine.runs import idle_cache
from tests.engine.trouble import few, trouble

SEEDS = range(60)
BATCH = 12


@pytest.mark.parametrize("first", range(SEEDS.start, SEEDS.stop, BATCH))
async def test_every_run_ends_once_and_leaves_nothing_behind(tmp_path, monkeypatch, first):
    errors = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    for seed in range(first, first + BATCH):
        clock._IDS.seed(seed)
        random.seed(seed)
        monkeypatch.setattr(idle_cache, "LONG", seed % 2 * 200)
        monkeypatch.setattr(idle_cache, "BoundedCache", few(1 + seed % 3))
        world = trouble(seed, tmp_path / f"{seed}.db")
        async with asyncio.timeout(60):
            await world.live()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert (seed, world.faults, errors, others) == (seed, [], [], set())
