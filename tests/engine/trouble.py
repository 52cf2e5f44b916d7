"""A random world around a real engine and a real file: bodies that misbehave, people who meddle, crashes."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import define, evolve, field

from infraweave import NonRetryable
from infraweave.authoring.compiler import Compiled
from infraweave.authoring.signatures import Code
from infraweave.core.data.bounded_cache import BoundedCache
from infraweave.core.run.address import Address
from infraweave.core.run.event_codec import TYPE_CODES
from infraweave.core.run.events import NodeCompleted, NodeStarted
from infraweave.core.run.state import fold
from infraweave.core.trace_context import TraceContext
from infraweave.core.workflow.document import (
    Activity,
    Concurrency,
    Document,
    HumanInput,
    Loop,
    Map,
    Router,
    Timer,
    starts_child,
)
from infraweave.core.workflow.graph import Graph
from infraweave.engine.catalog import code_of
from infraweave.engine.engine import Engine
from infraweave.engine.runs.requests import RerunWish, StartRequest
from infraweave.errors import RequestError
from infraweave.settings import Settings
from infraweave.store.input_requests import InputRequests
from infraweave.store.runs import RunFilters, RunRow, rebuild
from infraweave.testing import VirtualClock
from tests.core.faults import faults
from tests.core.graphs import random_document

OPEN = RunFilters(states=["queued", "running", "retrying"])


class Loaded:
    """A document and its code, in the place of a declared workflow."""

    def __init__(self, document: Document, body: Any, lost: Collection[str] = ()) -> None:
        self._document, self._body, self._lost = document, body, lost

    @property
    def compiled(self) -> Compiled:
        return Compiled(self._document, self.codes(), {})

    def compile(self) -> Document:
        return self._document

    def codes(self) -> dict[str, Code]:
        graph = Graph(self._document)
        addresses = [
            Address(name, phase=phase) for name in graph.nodes for phase in ("forward", "compensation")
        ]
        found = {code_of(graph, address)[0] for address in addresses}
        return {ref: Code(ref, self._body, True, (), "ctx", Any) for ref in found - {None, *self._lost}}


class _Few(BoundedCache):
    """Keeps so many, whatever they weigh."""

    def keep(self, key, value, weight):
        super().keep(key, value, 1)


def few(runs: int) -> Callable[[int], BoundedCache]:
    """What keeps so many runs at rest instead of so many bytes of them, that they are dropped often."""
    return lambda _: _Few(runs)


def family(rng: random.Random) -> list[Document]:
    """A random workflow, whose children are random too, and have children of their own."""
    documents = []
    for workflow_id, child in (("w", "child"), ("child", "leaf"), ("leaf", None)):
        limits = (Concurrency(rng.choice([1, 2]), key=None),) if rng.random() < 0.15 and child is None else ()
        documents.append(_member(rng, workflow_id, child))
        documents[-1] = evolve(documents[-1], concurrency=limits)
    return documents


def _member(rng: random.Random, workflow_id: str, child: str | None) -> Document:
    while True:
        drawn = random_document(rng, rng.choice([4, 6, 8]) if child else 4, plain=child is None)
        nodes = tuple(_related(node, child, workflow_id) for node in drawn.nodes)
        document = evolve(drawn, workflow_id=workflow_id, nodes=nodes, input_schema={})
        if not list(faults(document)):
            return document


def _related(node, child, workflow_id):
    """Point a node at the workflow of its children; only the first workflow is given a list."""
    if starts_child(node):
        return evolve(node, workflow_id=child)
    if isinstance(node, Map) and node.over == "input" and workflow_id != "w":
        params = tuple(param for param in node.params if param.source != "$item")
        return Activity(
            name=node.name, params=params, after=node.after, code=node.code or "w:x", retry=node.retry
        )
    return node


@define
class Trouble:
    """One file, the engines that serve it one after the other, and whatever happens to them."""

    db: Path
    rng: random.Random
    clock: VirtualClock
    documents: list[Document]
    trouble: float
    engine: Engine | None = None
    #: Counts the engines: bodies of a dead one do nothing more.
    life: int = 0
    calls: list[asyncio.Task] = field(factory=list)
    began: set[tuple[str, Address, int]] = field(factory=set)
    faults: list[str] = field(factory=list)
    calm: bool = False

    # --- bodies --------------------------------------------------------------------------------------------

    async def body(self, ctx) -> Any:
        life, node = self.life, self._node(ctx)
        if not (
            isinstance(node, HumanInput | Timer) or (starts_child(node) and ctx.address.phase == "forward")
        ):
            self._check_start(ctx)
        ctx.report(tokens=self.rng.randrange(9), cost_micro_usd=self.rng.randrange(3))
        await self._work(life)
        draw = self.rng.random()
        if not self.calm and draw < self.trouble:
            raise NonRetryable("no") if draw < self.trouble / 6 else RuntimeError("boom")
        return self._output(ctx, node)

    def _node(self, ctx):
        document = next(d for d in self.documents if d.workflow_id == ctx._origin.workflow_id)
        return next(node for node in document.nodes if node.name == ctx.node)

    async def _work(self, life: int) -> None:
        seconds = self.rng.choice([0, 0, 0, 0.5, 3] + [3, 40] * (not self.calm))
        stubborn = 0 if self.calm else self.rng.choice([0, 0, 0, 1, 2])
        while True:
            try:
                if seconds:
                    await self._sleep(seconds)
                return
            except asyncio.CancelledError:
                stubborn -= 1
                if stubborn < 0 or life != self.life:
                    raise

    async def _sleep(self, seconds: float) -> None:
        done = asyncio.get_running_loop().create_future()
        timer = self.clock.call_later(seconds, lambda: done.done() or done.set_result(None))
        try:
            await done
        finally:
            timer.cancel()

    def _check_start(self, ctx) -> None:
        """A body begins once an attempt, and after its start is on disk."""
        key = (ctx.run_id, ctx.address, ctx.attempt)
        if key in self.began:
            self.faults.append(f"{key} began twice")
        self.began.add(key)
        with sqlite3.connect(self.db) as connection:
            found = connection.execute(
                "SELECT count(*) FROM events JOIN runs USING (run_key)"
                " WHERE run_id = ? AND type = ?"
                " AND data ->> '$.node' = ? AND coalesce(data ->> '$.attempt', 1) = ?",
                (ctx.run_id, TYPE_CODES["node_started"], ctx.node, ctx.attempt),
            ).fetchone()
        connection.close()
        if not found[0]:
            self.faults.append(f"{key} began before its start was durable")

    def _output(self, ctx, node) -> Any:
        rng = self.rng
        if ctx.address.phase == "compensation":
            return None
        if isinstance(node, Timer):
            return rng.choice([0, 3, "10s"])
        if isinstance(node, HumanInput):
            return "Go?"
        if isinstance(node, Router):
            chosen = [route for route in node.routes if rng.random() < 0.6]
            return chosen if node.many else rng.choice(node.routes)
        if isinstance(node, Loop):
            return rng.random() < 0.6
        document = next(d for d in self.documents if d.workflow_id == ctx._origin.workflow_id)
        if any(isinstance(other, Map) and other.over == node.name for other in document.nodes):
            return list(range(rng.choice([0, 1, 3, 5])))
        return {"by": str(ctx.address)}

    # --- lives ---------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Engine]:
        lost = [f"w:n{n}" for n in range(8) if self.rng.random() < 0.2] if self._loses_code() else []
        flows = [Loaded(document, self.body, lost) for document in self.documents]
        settings = Settings(keep=None, grace=5.0, max_running=self.rng.choice([1, 2, 3, 10]), readers=2)
        self.life += 1
        async with Engine.open(self.db, flows, clock=self.clock, settings=settings) as engine:
            self.engine = engine
            try:
                yield engine
            finally:
                if self.calls:
                    await asyncio.wait(self.calls)
                self.calls.clear()

    def _loses_code(self) -> bool:
        return not self.calm and self.rng.random() < 0.15

    def crash(self, engine: Engine) -> None:
        """End the process: what waits for the disk is lost, and nobody hears of what reaches it."""
        self.life += 1
        writer = engine.db._writer
        waiting, writer._waiting, writer._open = writer._waiting, [], False
        for live in list(engine.registry.live.values()):
            live.drop()
        engine.registry.live.clear()
        engine.resources.draining = True
        for task in (*engine.tasks._tasks, *engine.registry._loading.values()):
            task.cancel()
        writer._refuse(waiting)

    # --- what happens --------------------------------------------------------------------------------------

    async def pause(self, engine: Engine) -> None:
        turns = self.rng.choice([0, 1, 2, 5, 20, None])
        if turns is None:
            await engine.db.ping()
        else:
            for _ in range(turns):
                await asyncio.sleep(0)

    async def step(self, engine: Engine) -> None:
        draw = self.rng.random()
        rows = await engine.runs.list("default", OPEN, limit=200)
        if draw < 0.25 or not rows:
            await self.clock.advance(self.rng.choice([0.1, 0.5, 1, 3, 10, 31]))
        elif draw < 0.75:
            self._call(self._answer(engine, self.rng.choice(rows)))
        elif draw < 0.75 + self.trouble / 3:
            row = self.rng.choice(rows)
            stop = self.rng.choice([engine.service.cancel, engine.service.cancel, engine.service.terminate])
            self._call(stop(row, by="eve", reason="why not"))
        elif draw < 0.75 + self.trouble / 2:
            self._call(self._again(engine))
        await self.pause(engine)

    def _call(self, work: Any) -> None:
        self.calls.append(asyncio.create_task(_tolerant(work)))

    async def _answer(self, engine: Engine, row: RunRow) -> None:
        seen = await engine.service.inspect(row)
        waits = [entry for entry in seen.state.entries.values() if entry.signal is not None]
        for entry in waits:
            request = entry.request.request_id if entry.request and self.rng.random() < 0.5 else None
            await engine.service.signal(row, entry.signal, request, self.rng.randrange(9), by="eve")

    async def _again(self, engine: Engine) -> None:
        ended = [r for r in await engine.runs.list("default", limit=50) if r.finished_at is not None]
        if not ended or len(ended) > 12:
            return
        row = self.rng.choice(ended)
        wish = RerunWish(from_node=self.rng.choice([None, f"n{self.rng.randrange(8)}"]))
        await engine.service.rerun(row, wish, self.request(row.workflow_id, "again"))

    def request(self, workflow_id: str, by: str) -> StartRequest:
        return StartRequest(
            tenant="default",
            by=by,
            workflow_id=workflow_id,
            input=list(range(self.rng.choice([0, 1, 3, 6]))),
            trace=TraceContext("a" * 32, "b" * 16, 1, ""),
        )

    async def live(self) -> None:
        """Live several lives on one file, and then a calm one in which everything ends."""
        for _ in range(self.rng.choice([1, 2, 4])):
            await self._one_life()
        self.calm = True
        async with self.serving() as engine:
            await self._end_all(engine)
            await self._check_rest(engine)

    async def _one_life(self) -> None:
        async with self.serving() as engine:
            for _ in range(self.rng.choice([1, 2])):
                self._call(engine.service.start(self.request("w", "story")))
            for _ in range(self.rng.choice([3, 10, 40])):
                await self.step(engine)
                if self.rng.random() < 0.1:
                    await self.check_live(engine)
            if self.rng.random() < 0.7:
                self.crash(engine)
            else:
                closing = asyncio.create_task(engine.drain())
                for _ in range(8):
                    await self.pause(engine)
                    await self.clock.advance(1)
                await closing

    async def _end_all(self, engine: Engine) -> None:
        """Answer and wait for as long as that leads to anything."""
        before, still = 0, 0
        while rows := await engine.runs.list("default", OPEN, limit=200):
            for row in rows:
                await _tolerant(self._answer(engine, row))
            await self.clock.advance(40)
            for _ in range(3):
                await engine.db.ping()
            written = sum([row.run_key + await engine.journal.last_seq(row.run_key) for row in rows])
            before, still = written, still + 1 if written == before else 0
            if still == 20:
                told = [(row.run_id, (await engine.service.explain(row))[1].sentence) for row in rows]
                self.faults.append(f"never ended: {told}")
                return

    # --- what must hold ------------------------------------------------------------------------------------

    async def check_live(self, engine: Engine) -> None:
        """What is in memory and on disk says the same."""
        for live in [*engine.registry.live.values(), *engine.registry.idle]:
            state = live.state
            stored = await engine.journal.fold(live.run_key, state.run_id, undoable=state.undoable)
            if stored.seq == state.seq and not live._uncommitted and stored != state:
                self.faults.append(f"{state.run_id}: memory and file differ")

    async def _check_rest(self, engine: Engine) -> None:
        """Nobody holds what nobody needs."""
        for _ in range(5):
            await self.clock.advance(50)
            await engine.db.ping()
        self._expect("live", list(engine.registry.live), [])
        self._expect("slots", engine.slots.used, 0)
        self._expect("slot queue", engine.slots.queued, 0)
        self._expect("in line", len(engine.slots._resumed), 0)
        self._expect("queue", engine.admission.queued, 0)
        self._expect("pending", list(engine.admission._pending), [])
        groups = {key: (group.open, group.reserved) for key, group in engine.admission._groups.items()}
        self._expect("groups", {key: held for key, held in groups.items() if held != (0, 0)}, {})
        self._expect("orphans", list(engine.workers.orphans), [])
        self._expect("pins", dict(engine.registry._pins), {})
        self._expect("loading", list(engine.registry._loading), [])
        self._expect("urgent", dict(engine.wakeups._urgent), {})
        self._expect(
            "tasks",
            sorted(
                task.get_name()
                for task in engine.tasks._tasks
                if task.get_name() not in ("alarm", "retention")
            ),
            [],
        )
        rows = await engine.runs.list("default", limit=200)
        self._expect("agenda", await engine.db.read("urgent"), [])
        self._expect("due", await engine.wakeups._agenda.next_due(), None)
        self._expect("input requests", await InputRequests(engine.db).count("default"), 0)
        for row in rows:
            await self._check_run(engine, row, {r.run_id: r for r in rows})
        self._expect("index", await rebuild(engine.db), [])

    async def _check_run(self, engine: Engine, row: RunRow, rows: dict[str, RunRow]) -> None:
        events = await engine.journal.load(row.run_key)
        self._expect(f"{row.run_id} seqs", [e.seq for e in events], list(range(1, len(events) + 1)))
        state = fold(row.run_id, events)
        if state.end is None or state.entries or state.finished_at != row.finished_at:
            self.faults.append(f"{row.run_id}: {state.state} with {list(state.entries)}")
        self._expect(
            f"{row.run_id} usage", (state.tokens, state.cost_micro_usd), (row.tokens, row.cost_micro_usd)
        )
        parent = rows.get(row.parent_run_id or "")
        if parent is not None and (state.finished_at or 0) > (parent.finished_at or 0):
            self.faults.append(f"{row.run_id} ended after its parent")
        done: set[Address] = set()
        for event in events:
            if isinstance(event, NodeStarted) and event.address in done:
                self.faults.append(f"{row.run_id}: {event.address} again")
            elif isinstance(event, NodeCompleted):
                done.add(event.address)

    def _expect(self, what: str, found: Any, expected: Any) -> None:
        if found != expected:
            self.faults.append(f"{what}: {found!r:.300}, not {expected!r:.300}")


async def _tolerant(work: Any) -> None:
    with suppress(RequestError):  # refused: that is an answer too
        await work


def trouble(seed: int, db: Path) -> Trouble:
    """One random world."""
    rng = random.Random(seed)
    documents = family(rng)
    return Trouble(db, rng, VirtualClock(), documents, rng.choice([0.02, 0.1, 0.25]))
