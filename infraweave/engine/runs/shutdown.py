"""Shutdown: nothing new opens, bodies may finish within the grace period, the rest is closed."""

from __future__ import annotations

import asyncio

from infraweave.engine.clock import sleep
from infraweave.engine.runs.live_run import LiveRun
from infraweave.engine.runs.registry import RunRegistry
from infraweave.engine.runs.resources import RunResources
from infraweave.engine.runs.wakeups import Wakeups
from infraweave.failpoints import reach


async def drain(resources: RunResources, registry: RunRegistry, wakeups: Wakeups, grace: float) -> None:
    """Let bodies finish within ``grace`` seconds, then abandon all live runs; their state on disk stays."""
    resources.draining = True
    reach("shutdown")
    resources.start_priority.close()
    registry.idle.clear()
    wakeups.alarm.close()
    expired = asyncio.create_task(sleep(resources.clock, grace), name="grace")
    await registry.close_all(_close_not_started)
    while registry.live and not expired.done():
        registry.left.clear()
        left = asyncio.create_task(registry.left.wait(), name="left")
        await asyncio.wait({left, expired}, return_when=asyncio.FIRST_COMPLETED)
        left.cancel()
    expired.cancel()
    await registry.close_all(_close_not_started)  # attempts that were about to begin
    await registry.close_all(_interrupt_all)
    registry.drop_all()
    await resources.tasks.cancel(registry.loading)
    resources.workers.shutdown()


def _close_not_started(live: LiveRun) -> None:
    live.apply_results()
    live.performer.close_not_started(live)


def _interrupt_all(live: LiveRun) -> None:
    live.apply_results()
    live.performer.interrupt_all(live)
