"""A mixed load on a server that dies, and a ledger of all that it acknowledged.

The ledger is kept in the process of the test. After the restart ``check`` holds the server to it: what was
acknowledged is there, once; every run ends; no reader has missed or doubled an event; nothing that was
completed has begun again.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress

import httpx
from attrs import define, field

from infraweave.client import Client, ClientError
from tests.crash.server import Process

#: What a client sees of a server that dies, or that is not there yet.
GONE = (httpx.HTTPError, ConnectionError)

WORKFLOWS = """
import asyncio
from pathlib import Path

from infraweave import Context, NonRetryable, Retry, Workflow

HERE = Path(__file__).parent

child = Workflow("child", version="v1", input={"type": "object"})


@child.node
async def half(input: dict) -> int:
    await asyncio.sleep(0)
    return input["n"] // 2


load = Workflow("load", version="v1", input={"type": "object"})


@load.node
async def first(input: dict) -> list[int]:
    return list(range(4))


@first.compensate
async def unfirst(first: list) -> None:
    await asyncio.sleep(0)


@load.map(over="first", max_concurrency=2)
async def each(n: int) -> int:
    await asyncio.sleep(0.002)
    return n * n


@load.node
async def draft(each: list, ctx: Context) -> int:
    return ctx.iteration


@load.repeat(back_to=draft, max_iterations=3)
def again(draft: int) -> bool:
    return draft < 3


load.sleep("pause", 0.05)


@load.subworkflow("child")
def kid(draft: int) -> dict:
    return {"n": draft}


@load.router(routes=["approval", "bad", "good"])
def way(kid: int, input: dict) -> str:
    return input["way"]


@load.human_input(schema={"type": "object", "required": ["ok"]})
def approval(kid: int) -> str:
    return "go on?"


@load.node(retry=None)
async def bad(kid: int) -> None:
    raise NonRetryable("bad")


@load.node
async def good(kid: int) -> str:
    return "good"


@load.node(after=[approval, good])
async def last(input: dict) -> str:
    return input["way"]
"""


@define
class Ledger:
    """What the server has acknowledged."""

    #: Idempotency key → run_id.
    started: dict[str, str] = field(factory=dict)
    #: (run_id, request_id) of signals with a 2xx.
    signalled: set[tuple[str, str]] = field(factory=set)
    cancelled: set[str] = field(factory=set)
    #: Events that readers have seen, by run, in the order of arrival.
    seen: dict[str, list[dict]] = field(factory=dict)
    tried: int = 0


async def drive(process: Process, ledger: Ledger, rng: random.Random, seconds: float | None) -> None:
    """Put load on a server until it dies: by itself, or killed after some seconds."""
    async with process.start() as client:
        acts = [_start, _start, _start, _read, _read, _meddle]
        gone = asyncio.Event()
        work = [asyncio.create_task(_go_on(act, client, ledger, rng, gone)) for act in acts]
        if seconds is not None:
            await asyncio.sleep(seconds)  # a real kill comes at a real moment
            process.kill()
            gone.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*work)
        process.kill()


async def _go_on(act, client: Client, ledger: Ledger, rng: random.Random, gone: asyncio.Event) -> None:
    """Act again and again, until the server is gone."""
    while not gone.is_set():
        try:
            await act(client, ledger, rng)
        except GONE:
            gone.set()


async def _start(client: Client, ledger: Ledger, rng: random.Random) -> None:
    ledger.tried += 1
    key, way = f"k{ledger.tried}", rng.choice(["approval", "approval", "bad", "good", "good"])
    run = await client.start("load", {"way": way}, idempotency_key=key)
    ledger.started[key] = run.run_id
    await asyncio.sleep(rng.uniform(0, 0.01))


async def _meddle(client: Client, ledger: Ledger, rng: random.Random) -> None:
    """Answer or cancel a run; what cannot be answered yet is answered another time."""
    await asyncio.sleep(0.005)
    if not ledger.started:
        return
    run_id = rng.choice(list(ledger.started.values())[-40:])
    with suppress(ClientError):  # it has ended, or is stopping
        if rng.random() < 0.15:
            await client.run(run_id).cancel("load")
            ledger.cancelled.add(run_id)
        else:
            request_id = f"s{rng.randrange(3)}"
            await client.run(run_id).signal("approval", {"ok": True}, request_id=request_id)
            ledger.signalled.add((run_id, request_id))


async def _read(client: Client, ledger: Ledger, rng: random.Random) -> None:
    """Follow a run from where its last reader was cut off."""
    await asyncio.sleep(0.002)
    if ledger.started:
        await read_on(client, ledger, rng.choice(list(ledger.started.values())[-20:]))


async def read_on(client: Client, ledger: Ledger, run_id: str) -> None:
    """Read a page of a run, from where its last reader stopped."""
    seen = ledger.seen.get(run_id, [])
    after = seen[-1]["seq"] if seen else 0
    page = await client.request(
        "GET",
        f"/v1/runs/{run_id}/events",
        params={"after": after},
        headers={"Accept": "application/json"},
    )
    if ledger.seen.get(run_id, []) == seen:  # no other reader was faster
        ledger.seen[run_id] = [*seen, *page["events"]]


async def check(client: Client, ledger: Ledger) -> Counter:
    """Hold a restarted server to the ledger; return how the runs ended."""
    ends: Counter = Counter()
    for run_id in ledger.started.values():
        shown = await client.run(run_id).show()
        events = await _to_the_end(client, ledger, run_id)
        _sound(events)
        seen = ledger.seen.get(run_id, [])
        assert events[: len(seen)] == seen, f"{run_id}: a reader saw what is not there"
        if run_id in ledger.cancelled:
            assert shown["cancel_requested"] or shown["state"] in ("succeeded", "failed"), shown
        ends[events[-1]["type"]] += 1
    for run_id, request_id in ledger.signalled:
        again = await client.run(run_id).signal("approval", {"ok": True}, request_id=request_id)
        assert again["duplicate"], f"{run_id}: the signal {request_id} was lost"
    return ends


async def _to_the_end(client: Client, ledger: Ledger, run_id: str) -> list[dict]:
    async with asyncio.timeout(60):
        events = []
        async for event in client.events(run_id):
            events.append(event)
            if event["type"] == "input_requested":
                with suppress(ClientError):  # it was answered before
                    await client.run(run_id).signal("approval", {"ok": True}, request_id="end")
    return events


def _sound(events: list[dict]) -> None:
    """Check what must hold for every history."""
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] in ("completed", "failed", "cancelled")
    closed: set[tuple] = set()
    for event in events:
        names = ("node", "iteration", "index", "phase")
        entry = tuple(event.get(name) for name in names)
        if event["type"] == "node_started":
            assert entry not in closed, f"{entry} began again"
        elif event["type"] == "node_completed":
            assert entry not in closed, f"{entry} was completed twice"
            closed.add(entry)
    _punctual(events)


def _punctual(events: list[dict]) -> None:
    """Check that the timer was not early, and not lost."""
    wake_at = [event["wake_at"] for event in events if event["type"] == "node_started" and "wake_at" in event]
    woken = [
        event["at"] for event in events if (event["type"], event.get("node")) == ("node_completed", "pause")
    ]
    if events[-1]["type"] == "completed":
        assert woken
        assert woken[0] >= wake_at[0], (wake_at, woken)
