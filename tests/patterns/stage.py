"""What the stories of the patterns share: bodies that end when told to, signals, and the trace of a run.

A trace leaves out the changes of the run's state, which every story has, and writes a line an event:
``node_completed pick → b (skips c)`` is a router's choice, ``draft#2`` the second iteration, ``work[0]`` the
first item, ``again`` a loop's verdict.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from textwrap import dedent
from typing import Any

from infraweave.core.run.address import Address
from infraweave.store.runs import RunRow
from tests.engine.conftest import World


class Hands:
    """Bodies at work, until the story lets them finish."""

    def __init__(self) -> None:
        self._free: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def work(self, name: str) -> str:
        await self._free[name].wait()
        return name

    def let(self, name: str) -> None:
        """Let one piece of work end soon."""
        self._free[name].set()

    async def finish(self, w: World, run: RunRow, node: str, index: int | None = None) -> None:
        """Let one piece of work end, and wait until that is on disk."""
        self.let(node if index is None else f"{node}[{index}]")
        await w.until(run, "node_completed", node=node, **({} if index is None else {"index": index}))


class Post:
    """How a body signals a run, its own or another: as it would with the HTTP client."""

    world: World

    async def send(self, run_id: str, name: str, payload: Any = None, request_id: str | None = None) -> None:
        run = await self.world.engine.runs.get(run_id)
        await self.world.engine.service.signal(run, name, request_id, payload, by="a body")


async def send(w: World, run: RunRow, name: str, payload: Any = None) -> None:
    """Signal a run from outside."""
    await w.engine.service.signal(run, name, None, payload, by="someone")


async def child_of(w: World, run: RunRow, node: str, **where: Any) -> RunRow:
    """Wait until a node has started its run, and return that."""
    started = await w.until(run, "node_started", node=node, **where)
    child = await w.engine.runs.get(started["child_run_id"])
    assert child is not None
    return child


@asynccontextmanager
async def begun(world: Any, *workflows: Any, value: Any = None) -> AsyncIterator[tuple[World, RunRow]]:
    """Open an engine and start a run of the first workflow."""
    async with world(*workflows) as w:
        yield w, await w.start(workflows[0], value)


async def ended(w: World, run: RunRow) -> list[str]:
    """Wait for the end of a run and return its trace."""
    await w.end(run)
    return await trace(w, run)


async def trace(w: World, run: RunRow) -> list[str]:
    """Return what a run has told so far."""
    return [line for event in await w.events(run) if (line := _line(event))]


def lines(text: str) -> list[str]:
    """Return an expected trace, written as a block."""
    return dedent(text).strip().splitlines()


def _line(event: dict[str, Any]) -> str:
    if event["type"] == "status_changed":
        return "cancel_requested" if event.get("cancel_requested") else ""
    return event["type"] + "".join(f" {word}" for word in _words(event) if word)


def _words(event: dict[str, Any]) -> list[str]:
    where = Address(event.get("node", ""), event.get("iteration"), event.get("index"))
    return [
        event.get("name") or str(where),
        event.get("phase", "") if event.get("phase") == "compensation" else "",
        event.get("code") or event.get("outcome") or "",
        f"→ {' '.join(event['routes']) or 'nothing'}" if event.get("routes") is not None else "",
        "again" if event.get("again") else "",
        f"(skips {' '.join(event['skipped'])})" if event.get("skipped") else "",
    ]
