"""One world: a family of random workflows on one file, whoever meddles with it, crashes, restarts.

All that happens follows from the seed: the graphs, what bodies do, who asks for what, when a statement is
done, when the process dies, how the clock of the machine is set. The engine, its clock, the writer, the SQL
and the file are the product's own.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import random
import sqlite3
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from attrs import define, evolve, field

from infraweave import NonRetryable
from infraweave.authoring.signatures import Code
from infraweave.core.access import Principal
from infraweave.core.trace_context import TraceContext
from infraweave.core.workflow.document import (
    Activity,
    Document,
    HumanInput,
    Loop,
    Map,
    Router,
    Timer,
    Wait,
    starts_child,
)
from infraweave.engine import clock
from infraweave.engine.engine import Engine
from infraweave.engine.runs import idle_cache, inspection, performer, shutdown, wakeups, workers
from infraweave.engine.runs.requests import RerunWish, StartRequest
from infraweave.errors import Capacity, IdempotencyMismatch, RequestError
from infraweave.settings import Settings
from infraweave.store import retention
from infraweave.store.runs import RunFilters, RunRow
from infraweave.store.sqlite import batch, database, migrations
from tests.engine.trouble import Loaded, family, few
from tests.simulate.check import compare, forget
from tests.simulate.disk import Disk, Peeks, Pool, Writing, copy
from tests.simulate.loop import SimLoop, Standstill
from tests.simulate.model import Model, Run, name
from tests.simulate.more import LARGE, NEWER, TENANTS, Fairness, More
from tests.simulate.timetable import Timetable, timed

#: Wall clock of the machine when a world begins: 2026-01-01T00:00:00Z, in seconds.
BEGINNING = 1_767_225_600
OPEN = RunFilters(states=["queued", "running", "retrying"])
#: Worlds that share a family of documents, so that graphs need not be drawn for each.
FAMILY = 4
#: In one world of each family there are schedules.
TIMED = 2
#: Where a process may die beside any step.
PLACES = ("commit.before", "commit.after", "batch.middle", "recovery", "compensation", "shutdown", "removal")
#: Seconds after its time at which what is due has long happened; a clock set forward is noticed in 60.
LATE = 75
#: Seconds for which ended runs stay where they do not stay for ever.
KEEP = 300.0
#: Steps without a commit after which something turns in circles.
CIRCLES = 10_000
TRACE = TraceContext("a" * 32, "b" * 16, 1, "")


@lru_cache(maxsize=4)
def documents_of(number: int) -> tuple[Document, ...]:
    """Return the family of documents with a number; some attempts have a time limit."""
    rng = random.Random(f"family {number}")
    return tuple(_timed(rng, document) for document in family(rng))


def _timed(rng: random.Random, document: Document) -> Document:
    timed = (Activity, Map, Router, Loop)
    nodes = [
        evolve(node, timeout=2.0) if isinstance(node, timed) and rng.random() < 0.2 else node
        for node in document.nodes
    ]
    return evolve(document, nodes=tuple(nodes))


class Flow(Loaded):
    """A document and its code; some of it blocks its thread."""

    def __init__(self, document: Document, world: World, lost: set[str]) -> None:
        super().__init__(document, world.body, lost)
        self._world = world

    def codes(self) -> dict[str, Code]:
        blocking = self._world.blocking
        return {
            ref: evolve(code, is_async=False, function=self._world.blocking_body) if ref in blocking else code
            for ref, code in super().codes().items()
        }


@define(eq=False)
class World:
    """A seed, lived."""

    seed: int
    folder: Path
    rng: random.Random = field(init=False)
    model: Model = field(init=False)
    disk: Disk = field(init=False)
    loop: SimLoop = field(init=False)
    documents: tuple[Document, ...] = field(init=False)
    blocking: set[str] = field(init=False)
    trouble: float = field(init=False)
    timetable: Timetable = field(init=False)
    fairness: Fairness = field(init=False)
    #: What newer worlds do beside; None: an earlier seed.
    more: More | None = None
    tenants: tuple[str, ...] = ("default",)
    #: By workflow: its nodes that run children.
    _prepared: dict[str, list[str]] = field(init=False)
    engine: Engine | None = None
    clock: clock.SystemClock = field(factory=clock.SystemClock)
    lives: int = 0
    crashes: int = 0
    calm: bool = False
    #: How far the clock of the machine is off, in seconds.
    offset: float = 0
    furthest: float = 0
    #: The step of the last commit.
    wrote_at: int = 0
    #: When it is next looked for what is late, in seconds of the world.
    look_at: float = 0
    #: When the clock of the machine was last set, in seconds of the world.
    jumped: float = -1e9
    #: The latest that the machine's clock has said to this process.
    latest: int = 0
    #: The latest that it has said to any.
    seen: int = 0
    #: Seconds by which it was set forward in steps so small that removal believes them.
    believed: float = 0
    #: By the key of a run that has ended: when it did by its events, in seconds.
    ended: dict[int, float] = field(factory=dict)
    path: Path = field(init=False)
    #: Where the next process dies: a place, and how often it may reach it before.
    place: list[Any] = field(factory=lambda: ["", 0])
    calls: list[asyncio.Task[Any]] = field(factory=list)
    graves: list[Any] = field(factory=list)
    #: Attempts whose bodies were called.
    began: set[tuple[Any, ...]] = field(factory=set)
    #: Bodies, by start key: what was acknowledged.
    started: dict[str, str] = field(factory=dict)
    lost: set[str] = field(factory=set)
    faults: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        rng = self.rng = random.Random(self.seed)
        self.documents = documents_of(self.seed // FAMILY)
        if self.seed % FAMILY == TIMED:
            self.documents = timed(random.Random(f"timetable {self.seed}"), self.documents)
        if self.seed >= NEWER:
            self.more, self.tenants = More(self, random.Random(f"more {self.seed}")), TENANTS
        self.timetable = Timetable.of(
            self.documents, self.tenants, lambda: self.seen, self._is_gone, self.fault
        )
        free = frozenset(d.workflow_id for d in self.documents if not d.concurrency)
        self.fairness = Fairness(free, self.fault)
        self.trouble = rng.choice([0.02, 0.1, 0.25])
        self.model = Model(
            self._undoes,
            self._no_later,
            self.faults,
            hear=self._hear,
            gone=self.removed,
            wrong=self._wrong,
        )
        self.disk = Disk(random.Random(f"disk {self.seed}"), self._committed)
        self.blocking = {f"w:n{n}" for n in range(8) if rng.random() < 0.15}
        self._prepared = {d.workflow_id: [n.name for n in d.nodes if starts_child(n)] for d in self.documents}
        self.path = self.folder / "life0.db"
        self.loop = SimLoop()
        self.loop.close()

    def _undoes(self, workflow_id: str, node: str) -> bool:
        return getattr(self._node(workflow_id, node), "compensate", None) is not None

    def _node(self, workflow_id: str, name: str) -> Any:
        document = next(d for d in self.documents if d.workflow_id == workflow_id)
        return next(node for node in document.nodes if node.name == name)

    def fault(self, said: str) -> None:
        """Note a violation."""
        self.faults.append(f"life {self.lives}, step {self.loop.steps}, {self.loop.now:.4f} s: {said}")

    # --- time and the disk ---------------------------------------------------------------------------------

    def wall(self) -> int:
        """Return the machine's time in nanoseconds."""
        said = BEGINNING * 10**9 + round((self.loop.now + self.offset) * 1e6) * 1000
        self.latest = max(self.latest, said // 1_000_000)
        self.seen = max(self.seen, self.latest)
        return said

    def _no_later(self) -> int:
        """Return a time that no event may be ahead of: the machine's, but for a second."""
        if self.loop.now - self.jumped < LATE:
            return self.latest
        return round((BEGINNING + self.loop.now + self.offset + 1) * 1000) + 1

    def _wrong(self, *event: Any) -> Iterator[str]:
        yield from () if self.more is None else self.more.wrong(*event)

    def _hear(self, run: Run) -> None:
        self.timetable.hear(run)
        self.fairness.hear(run)
        if run.finished_at is not None:
            self.ended[run.run_key] = run.finished_at / 1000 - BEGINNING

    def _is_gone(self, run: Run) -> bool:
        return run.run_key not in self.model.runs

    def removed(self, run: Run) -> None:
        """Hear that a run is gone: none goes before its time has passed by a clock that leaps no further.

        Children go with their root, which has ended before them by a clock that was set back in between.
        """
        early = self.ended[self.model.root(run).run_key] + KEEP - self.loop.now - self.believed
        if early > 1:
            self.fault(f"{run.run_id} was removed {early} s early")

    def _committed(self, rows: list[Any], file: sqlite3.Connection | None) -> None:
        if file is not None and self.model.removes:
            forget(file, self.model)
        self.wrote_at = self.loop.steps
        self.model.commit(rows, f"{self.lives}:{self.loop.now:.6f}")

    def _now(self) -> int:
        return self.clock.now()

    def reach(self, name: str) -> None:
        """Come to a place in the product where it may die."""
        if name != self.place[0] or self.loop.dead:
            return
        self.place[1] -= 1
        if self.place[1] <= 0:
            self.disk.lost = name != "commit.after"
            self.die()

    def die(self) -> None:
        """Die as by SIGKILL: the next process finds the file as it is now."""
        self.crashes += 1
        self.loop.dead = True
        after = self.folder / f"life{self.lives}.db"
        copy(self.path, after)
        self.path = after

    # --- bodies --------------------------------------------------------------------------------------------

    async def body(self, ctx: Any) -> Any:
        """Work for a while, and then misbehave or not."""
        node = self._enter(ctx)
        seconds = self.rng.choice([0, 0, 0, 0.5, 3] + [3, 40] * (not self.calm))
        stubborn = 0 if self.calm else self.rng.choice([0, 0, 0, 1, 2])
        while True:
            try:
                if seconds:
                    await asyncio.sleep(seconds)
                break
            except asyncio.CancelledError:
                stubborn -= 1
                if stubborn < 0:
                    raise
        return self._leave(ctx, node)

    def blocking_body(self, ctx: Any) -> Any:
        """Do the same in a thread."""
        return self._leave(ctx, self._enter(ctx))

    def _enter(self, ctx: Any) -> Any:
        node = self._node(ctx._origin.workflow_id, ctx.node)
        prepares = isinstance(node, HumanInput | Timer) or starts_child(node)
        if not prepares or ctx.address.phase == "compensation":
            self._check_start(ctx)
        ctx.report(tokens=self.rng.randrange(9), cost_micro_usd=self.rng.randrange(3))
        return node

    def _check_start(self, ctx: Any) -> None:
        """A body begins once an attempt, after its start is on disk, and never once it has completed."""
        key, called = tuple(ctx.address), (ctx.run_id, ctx.address, ctx.attempt)
        run = self.model.ids.get(ctx.run_id)
        if called in self.began:
            self.fault(f"{called} began twice")
        self.began.add(called)
        if run is None:
            self.fault(f"{called} began before its run was durable")
        elif key in run.completed:
            self.fault(f"{called} began, and was completed")
        elif (step := run.open.get(key)) is not None and step.attempt < ctx.attempt:
            self.fault(f"{called} began before its start was durable")
        elif step is None and run.end is None and not run.stopping and not self._races(ctx):
            self.fault(f"{called} began, and is not open")

    def _races(self, ctx: Any) -> bool:
        document = next(d for d in self.documents if d.workflow_id == ctx._origin.workflow_id)
        return any(node.join == "any" or isinstance(node, Map) for node in document.nodes)

    def _leave(self, ctx: Any, node: Any) -> Any:
        draw = self.rng.random()
        if not self.calm and draw < self.trouble:
            raise NonRetryable("no") if draw < self.trouble / 6 else RuntimeError("boom")
        if self.more is not None and not self.calm and self._may_be_too_large(ctx, node):
            return self.more.output(ctx) or self._output(ctx, node)
        return self._output(ctx, node)

    def _may_be_too_large(self, ctx: Any, node: Any) -> bool:
        return ctx.address.phase == "forward" and not starts_child(node)

    def _output(self, ctx: Any, node: Any) -> Any:
        rng = self.rng
        if ctx.address.phase == "compensation":
            return None
        if isinstance(node, Timer):
            return rng.choice([0, 3, "10s", 100])
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

    # --- what happens --------------------------------------------------------------------------------------

    async def _step(self) -> None:
        engine, rng = self.engine, self.rng
        draw = rng.random()
        if draw < 0.35:
            self.call(self._start(engine))
        elif draw < 0.4:
            self.set_by(rng.choice([-86_400, -600, -5, -0.5, 0.5, 5, 40, 600, 3_600, 86_400]))
        elif draw < 0.9:
            rows = await self._open(engine, 200)
            for row in rng.sample(rows, min(len(rows), 3)):
                self.call(self._meddle(engine, row))
        elif draw < 0.93:
            self.call(self._again(engine))
        elif draw < 0.96:
            self.call(self._start_many(engine))
        if self.timetable.lines and rng.random() < 0.1:
            self.call(self._prod(engine))
        if self.more is not None:
            await self.more.step(engine)
        await self._pause()

    def set_by(self, seconds: float) -> None:
        """Set the clock of the machine."""
        self.jumped = self.loop.now
        self.believed += seconds if 0 < seconds <= 60 else 0
        self.offset += seconds
        if not self.model.events:
            self.believed = max(0, self.offset)  # a file that knows of no time before believes the first
        self.furthest = max(self.furthest, self.offset)

    async def _open(self, engine: Engine, limit: int) -> list[RunRow]:
        """Return the open runs of all tenants."""
        lists = [await engine.runs.list(tenant, OPEN, limit=limit) for tenant in self.tenants]
        return [row for rows in lists for row in rows]

    async def _pause(self) -> None:
        seconds = self.rng.choice([0, 0, 0.001, 0.02, 0.5, 1, 3, 10, 31, 100])
        if seconds:
            await asyncio.sleep(seconds)
        else:
            for _ in range(self.rng.choice([0, 1, 2, 5, 20])):
                await asyncio.sleep(0)

    def call(self, work: Any) -> None:
        self.calls.append(asyncio.create_task(_tolerant(work)))

    def _request(self, workflow_id: str = "w", key: int | None = None) -> StartRequest:
        rng = self.rng
        request = StartRequest(
            tenant="default" if self.more is None else self.more.rng.choice(TENANTS),
            by="story",
            workflow_id=workflow_id,
            input=list(range(rng.choice([0, 1, 3, 6]))),
            tags={"k": str(rng.randrange(3))} if rng.random() < 0.3 else {},
            trace=TRACE,
        )
        if key is not None:
            request = evolve(request, idempotency_key=f"key-{key}", body_digest=rng.choice("aaaab"))
        if rng.random() < 0.1:
            request = evolve(request, start_at=self._now() + rng.choice([500, 20_000, 90_000]))
        return request

    async def _start(self, engine: Engine) -> None:
        key = self.rng.choice([None, self.rng.randrange(12)])
        request = self._request(self.rng.choice(["w", "w", "child", "leaf"]), key)
        with suppress(IdempotencyMismatch, Capacity):
            for _ in range(self.rng.choice([1, 1, 2])):  # a caller who tries again gets the same
                self._acknowledged(request, (await engine.service.start(request)).run)

    async def _start_many(self, engine: Engine) -> None:
        requests = [self._request("w", self.rng.choice([None, self.rng.randrange(12)])) for _ in range(3)]
        for request, outcome in zip(requests, await engine.service.start_many(requests), strict=True):
            if not isinstance(outcome, RequestError):
                self._acknowledged(request, outcome.run)

    def _acknowledged(self, request: StartRequest, row: RunRow) -> None:
        if row.run_id not in self.model.ids:
            self.fault(f"{row.run_id} was acknowledged and is not on disk")
        key = request.idempotency_key
        if key is not None and self.model.keys.get((request.tenant, key)) not in (None, row.run_id):
            self.fault(f"{key} gave {row.run_id}, and made {self.model.keys[request.tenant, key]}")

    async def _meddle(self, engine: Engine, row: RunRow) -> None:
        draw, model = self.rng.random(), self.model
        if self.calm or draw > self.trouble / 2:
            await self._answer(engine, row)
            return
        by, reason = "eve", self.rng.choice([None, "why not"])
        forced = draw < self.trouble / 8
        stopped = await (engine.service.terminate if forced else engine.service.cancel)(
            row, by=by, reason=reason
        )
        run = model.ids[row.run_id]
        if run.end is None if forced or not stopped else not (run.cancel or run.end):
            self.fault(f"{row.run_id}: its stop was acknowledged and is not on disk ({forced}, {stopped})")

    async def _answer(self, engine: Engine, row: RunRow) -> None:
        """Answer what waits, early now and then, twice, wrongly, or late."""
        seen, rng = await engine.service.inspect(row), self.rng
        for entry in [e for e in seen.state.entries.values() if e.signal is not None]:
            request = entry.request.request_id if entry.request and rng.random() < 0.5 else None
            await self._signal(engine, row, entry.signal, request)
        waits = [node.name for node in seen.graph.document.nodes if isinstance(node, Wait)]
        if waits and not self.calm and rng.random() < 0.3:
            signals = [None, f"early-{rng.randrange(4)}", *self.model.ids[row.run_id].signals]
            await self._signal(engine, row, rng.choice(waits), rng.choice(signals))
        if not self.calm and rng.random() < 0.05:
            await self._signal(engine, row, "nobody", None)

    async def _signal(self, engine: Engine, row: RunRow, name: str, request_id: str | None) -> None:
        payload = self.rng.randrange(2)
        with suppress(RequestError):
            done = await engine.service.signal(row, name, request_id, payload, by="eve")
            kept = self.model.ids[row.run_id].signals.get(done.request_id)
            if kept is None or kept["name"] != name or (kept.get("payload") or 0) != payload:
                self.fault(f"{row.run_id}: signal {done.request_id} was acknowledged and is not on disk")

    async def _again(self, engine: Engine) -> None:
        tenant = "default" if self.more is None else self.more.rng.choice(TENANTS)
        ended = [row for row in await engine.runs.list(tenant, limit=50) if row.finished_at is not None]
        if ended:
            row = self.rng.choice(ended)
            wish = RerunWish(from_node=self.rng.choice([None, f"n{self.rng.randrange(8)}"]))
            request = evolve(self._request(row.workflow_id), start_at=None, tenant=row.tenant)
            self._acknowledged(request, (await engine.service.rerun(row, wish, request)).run)

    async def _prod(self, engine: Engine) -> None:
        """Trigger a schedule, or pause or resume one that need not make up for all."""
        row = await engine.scheduler.schedules.get(*self.rng.choice(sorted(self.timetable.lines)))
        act = self.rng.choice(["trigger", "pause", "resume", "resume"])
        if act == "trigger":
            await engine.scheduler.trigger(row, Principal(row.tenant, "eve"))
        elif act == "pause" and row.schedule.catch_up != "all":
            await engine.scheduler.pause(*row.key)
        elif row.paused:
            await engine.scheduler.resume(*row.key)

    # --- lives ---------------------------------------------------------------------------------------------

    def live(self) -> None:
        """Live several lives on one file, and then a calm one in which everything ends."""
        with _around(self):
            for _ in range(self.rng.choice([4, 6, 8, 12])):
                self._one_life()
            self.calm = True
            self._one_life()

    def _one_life(self) -> None:
        self.lives += 1
        loop = self.loop = SimLoop(self.loop.now + self.rng.choice([0, 1, 100]))
        loop.die, loop.idle, loop.complain = self.die, self._check_idle, self._complain
        self.place, self.engine, self.calls = ["", 0], None, []
        self.latest, self.wrote_at = 0, 0
        if self.more is not None and self.lives > 1:
            self.more.between_lives()
        self.clock = clock.SystemClock()
        self.timetable.restart()
        if self.calm:
            self.offset = self.furthest  # or what waits for a time that was once near would wait for days
        else:
            self._draw_death(loop)
        task = loop.create_task(self._serve())
        task.add_done_callback(lambda _: loop.stop())
        try:
            loop.run_forever()
        except Standstill as error:
            self.fault(str(error))
            loop.dead = True
        if not loop.dead:
            self._tell(task)
        self.faults += [f"life {self.lives}: {said}" for said in self._compare()]
        self.graves.append((loop, [task, *self.calls]))

    def _draw_death(self, loop: SimLoop) -> None:
        draw = self.rng.random()
        if draw < 0.6:
            loop.dies_at = int(10 ** self.rng.uniform(1.5, 3.8))
        elif draw < 0.9:
            self.place = [self.rng.choice(PLACES), self.rng.choice([1, 1, 2, 5, 20])]

    def _compare(self) -> Iterator[str]:
        if self.path.exists():
            yield from compare(self.path, self.model, everything=self.calm)
            yield from self.timetable.compare(self.path)

    def _tell(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.fault(f"the server ended with {task.exception()!r}")

    def _complain(self, context: dict[str, Any]) -> None:
        self.fault(f"nobody caught {context.get('message')}: {context.get('exception')!r}")

    async def _serve(self) -> None:
        rng, draw = self.rng, self.rng.random() if not self.calm else 1
        self.lost = {f"w:n{n}" for n in range(8) if rng.random() < 0.2} if draw < 0.15 else set()
        keep = rng.choice([None, None, KEEP]) if not self.calm else None
        self.model.removes = self.model.removes or keep is not None
        slots = rng.choice([1, 2, 3, 10])
        self.fairness.restart(slots)
        settings = Settings(keep=keep, grace=5.0, max_running=slots, readers=1, schedules=not self.calm)
        if self.more is not None:
            settings = evolve(settings, max_output=LARGE)
        flows = [Flow(document, self, self.lost) for document in self.documents]
        async with Engine.open(self.path, flows, clock=self.clock, settings=settings) as engine:
            self.engine, self.look_at = engine, self.loop.now + LATE
            if self.more is not None:
                await self.more.begin(engine)
            if self.calm:
                await self._end_all(engine)
                self._check_rest(engine)
                return
            for _ in range(rng.choice([10, 30, 60])):
                await self._step()
            for _ in range(3):
                self.call(self._start(engine))  # what comes while it drains
        if self.calls:
            await asyncio.wait(self.calls)

    async def _end_all(self, engine: Engine) -> None:
        """Answer and wait for as long as that leads to anything."""
        before, still = -1, 0
        while rows := await self._open(engine, 500):
            for row in rows:
                await _tolerant(self._answer(engine, row))
            await asyncio.sleep(40)
            still = still + 1 if self.model.events == before else 0
            before = self.model.events
            if still == 20:
                told = [(row.run_id, (await engine.service.explain(row))[1].sentence) for row in rows]
                self.fault(f"never ended: {told}")
                return
        await asyncio.sleep(300)

    # --- what must hold ------------------------------------------------------------------------------------

    def _check_idle(self) -> None:
        """Whenever time passes, nothing is due since long.

        Another child is begun only once there is a slot to make its input in, so that may take any time.
        """
        engine = self.engine
        if self.loop.steps - self.wrote_at > CIRCLES:
            self.wrote_at = self.loop.steps
            self.fault(f"{CIRCLES} steps, and nothing was written")
        if engine is None or self.loop.now < self.look_at or engine.draining or self.lost:
            return
        self.look_at = self.loop.now + 10
        before = round((BEGINNING + self.loop.now + self.offset - LATE) * 1000)
        for run in self.model.open.values():
            due = run.due(self._prepared[run.origin["workflow_id"]])
            if due is not None and due < before and run.at < before and not self._excused(run):
                open_ = [(name(key), step.retry_at) for key, step in run.open.items()]
                self.fault(f"{run.run_id}: due at {due}, and it is {before} + {LATE} s: {open_}")

        if self.loop.now - self.jumped >= LATE and not self.calm:
            self.faults += self.timetable.late(engine, before)

    def _excused(self, run: Any) -> bool:
        return self.loop.now - self.jumped < LATE

    def _check_rest(self, engine: Engine) -> None:
        """Nobody holds what nobody needs."""
        groups = {key: (group.open, group.reserved) for key, group in engine.admission._groups.items()}
        tasks = {task.get_name() for task in engine.tasks._tasks} - {"alarm", "retention"}
        rest = {
            "live": list(engine.registry.live),
            "slots": engine.slots.used + engine.slots.queued + len(engine.slots._resumed),
            "queue": engine.admission.queued,
            "pending": list(engine.admission._pending),
            "groups": [key for key, count in groups.items() if count != (0, 0)],
            "orphans": list(engine.workers.orphans),
            "pins": dict(engine.registry._pins),
            "loading": list(engine.registry._loading),
            "urgent": dict(engine.wakeups._urgent),
            "tasks": sorted(tasks),
        }
        if wrong := {what: found for what, found in rest.items() if found}:
            self.fault(f"all has ended, and these are held: {wrong}")

    def digest(self) -> str:
        """Return a digest of all that happened."""
        return hashlib.sha256("\n".join(self.model.log).encode()).hexdigest()

    def bury(self) -> None:
        """Let go of dead processes; what their coroutines say as they go is of no interest."""
        logging.disable()
        with patch.object(sys, "unraisablehook", lambda _: None), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            while self.graves:
                _close(*self.graves.pop())
            self.engine, self.calls = None, []
            for _ in range(4):  # what they begin as they go must go too
                gc.collect()
        logging.disable(logging.NOTSET)


def _close(loop: SimLoop, calls: list[asyncio.Task[Any]]) -> None:
    for task in (*calls, *asyncio.all_tasks(loop)):
        task._log_destroy_pending = False
    loop.dead = True
    loop.close()


async def _tolerant(work: Any) -> None:
    with suppress(RequestError):  # refused: that is an answer too
        await work


class _Errors(logging.Handler):
    """An error in the log of a healthy server is a violation."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        engine = self._world.engine
        # What was asked for while the server stops is refused to whoever asked, and need not be kept.
        refused = engine is not None and engine.draining and "could not be stored" in record.msg
        if not self._world.loop.dead and not refused:
            self._world.fault(f"logged: {record.getMessage()} {record.exc_info and record.exc_info[1]!r}")


@contextmanager
def _around(world: World) -> Iterator[None]:
    """Put the world in the place of the machine."""
    clock._IDS.seed(world.seed)
    random.seed(world.seed)
    handler, log = _Errors(world), logging.getLogger("infraweave")
    log.addHandler(handler)
    gc.disable()
    rng = random.Random(f"pool {world.seed}")
    try:
        with (
            patch.object(
                clock, "time", SimpleNamespace(time_ns=world.wall, monotonic=lambda: world.loop.now)
            ),
            patch.object(database, "aiosqlite", SimpleNamespace(connect=world.disk.connect)),
            patch.object(database, "PointReader", partial(Peeks, random.Random(f"peeks {world.seed}"))),
            patch.object(database, "WriterThread", partial(Writing, world.disk)),
            patch.object(workers, "ThreadPool", lambda *_, **__: Pool(rng)),
            patch.object(idle_cache, "LONG", world.seed % 2 * 200),
            patch.object(inspection, "LONG", world.seed % 2 * 200),
            patch.object(idle_cache, "BoundedCache", few(1 + world.seed % 3)),
            _places(world.reach),
        ):
            yield
    finally:
        log.removeHandler(handler)
        world.bury()
        gc.enable()


@contextmanager
def _places(reach: Callable[[str], None]) -> Iterator[None]:
    modules = (batch, database, migrations, performer, shutdown, wakeups, retention)
    patches = [patch.object(module, "reach", reach) for module in modules]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()
