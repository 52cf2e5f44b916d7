"""Makes what this folder keeps: ``python -m tests.journals.make``. What is there already is never touched.

One ``.jsonl`` file is one run: its first line says what its events add up to, every other line is an event as
the feed tells it, with its payloads. One ``schema-N.db`` is a database file of that schema with these runs in
it, made by the migrations up to it. Whoever adds a migration or a kind of event runs this once and commits
what is new.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from infraweave.core.data import json_codec
from infraweave.core.run.event_codec import TYPES
from infraweave.core.run.state import fold
from infraweave.core.trace_context import TraceContext
from infraweave.engine.engine import Engine
from infraweave.engine.runs.requests import RerunWish, StartRequest
from infraweave.settings import Settings
from infraweave.store.follow import Stored
from infraweave.store.runs import RunRow
from infraweave.store.sqlite.migrations import MIGRATIONS, prepare
from infraweave.store.sqlite.statements import QUERIES
from infraweave.testing import VirtualClock
from tests.engine.web import answer, serving
from tests.journals.flows import all_flows
from tests.journals.portrait import portrait

HERE = Path(__file__).parent
TRACE = TraceContext("a" * 32, "b" * 16, 1, "vendor=1")
#: What a file of the first schema cannot hold.
TOO_NEW = {1: "start_at IS NULL AND lane IS NULL", 2: "start_at IS NULL AND lane IS NULL"}


class Stories:
    """Plays the runs, and knows them by name."""

    def __init__(self, engine: Engine, clock: VirtualClock) -> None:
        self.engine, self.clock = engine, clock
        self.runs: dict[str, RunRow] = {}

    async def start(self, name: str, workflow: str, value: object, **more) -> RunRow:
        given = {"tenant": "default", "by": "admin", "trace": TRACE, "tags": {"story": name}, **more}
        request = StartRequest(workflow_id=workflow, input=value, **given)
        self.runs[name] = (await self.engine.service.start(request)).run
        return self.runs[name]

    async def until(self, run: RunRow, kind: str, **fields) -> None:
        async with self.engine.journal.follow(run.run_key) as follower:
            async for page in follower:
                for event in (json_codec.loads(stored.line(run.run_id)) for stored in page):
                    if event["type"] == kind and all(event.get(k) == v for k, v in fields.items()):
                        return
        raise AssertionError(f"{run.run_id} ended without {kind} {fields}")

    async def end(self, run: RunRow, step: float = 1) -> None:
        ended = asyncio.create_task(self.engine.service.wait_end(run.run_key))
        while not (await asyncio.wait({ended}, timeout=0.05))[0]:
            await self.clock.advance(step)

    async def tell(self, run: RunRow, name: str, payload: object) -> None:
        row = await self.engine.runs.get(run.run_id)
        await self.engine.service.signal(row, name, None, payload, by="ada")

    async def ended(self, name: str, workflow: str, value: object, **more) -> RunRow:
        run = await self.start(name, workflow, value, **more)
        await self.end(run)
        return run


async def play_ends(s: Stories, web: str) -> None:
    """Runs that need nobody."""
    await s.ended("completed", "checkout", {"total": 5}, idempotency_key="k", body_digest="d" * 64)
    await s.ended("retried", "checkout", {"total": 5, "card": "shaky"})
    failed = await s.ended("failed-and-undone", "checkout", {"total": 5, "card": "bad"})
    await s.ended("map-and-loop", "essay", ["tea", "?", "熱い"])
    await s.ended("http", "call", {"url": web})
    await s.ended("parent", "family", {"total": 7})
    wish = RerunWish(from_node="charge", patch={"card": None})
    request = StartRequest(tenant="default", workflow_id="checkout", input={}, by="admin", trace=TRACE)
    row = await s.engine.runs.get(failed.run_id)
    s.runs["rerun"] = (await s.engine.service.rerun(row, wish, request)).run
    await s.end(s.runs["rerun"])


async def play_waits(s: Stories) -> None:
    """Runs that people and time decide."""
    asked = [
        await s.start(name, "checkout", {"total": 500}) for name in ("answered", "timed-out", "cancelled")
    ]
    for run in asked:
        await s.until(run, "input_requested")
    await s.tell(asked[0], "approval", {"ok": True})
    await s.end(asked[0])
    await s.engine.service.cancel(await s.engine.runs.get(asked[2].run_id), by="ada", reason="no more")
    await s.end(asked[2])
    signalled = await s.start("race-won-by-a-signal", "waiting", {})
    await s.tell(signalled, "news", {"n": 1})
    await s.tell(signalled, "more", {"n": 2})
    await s.until(signalled, "node_started", node="rest")
    timed = await s.start("race-won-by-a-timer", "waiting", {})
    await s.until(timed, "node_started", node="patience")
    for run in (timed, signalled, asked[1]):
        await s.end(run, step=600)


async def play_open(s: Stories) -> None:
    """Runs that are open when the file is closed, and one that is ended by force."""
    run = await s.start("terminated", "checkout", {"total": 500})
    await s.until(run, "input_requested")
    await s.engine.service.terminate(await s.engine.runs.get(run.run_id), by="ada")
    await s.until(await s.start("open-human", "checkout", {"total": 500}), "input_requested")
    sleeper = await s.start("open-timer", "waiting", {})
    await s.tell(sleeper, "news", {"n": 1})
    await s.tell(sleeper, "more", {"n": 2})
    await s.until(sleeper, "node_started", node="rest")
    await s.until(await s.start("open-child", "family", {"total": 500}), "node_started")
    await s.start("delayed", "checkout", {"total": 5}, start_at=s.clock.now() + 3_600_000)
    await s.until(await s.start("in-a-lane", "lanes", {"customer": "c1"}), "node_started")
    await s.start("behind-in-a-lane", "lanes", {"customer": "c1"})
    hung = await s.start("interrupted", "interrupted", {"hang": True})
    await s.until(hung, "node_started")


@asynccontextmanager
async def played(path: Path) -> AsyncIterator[Stories]:
    """Give the stories, played into a file; for the length of the block it is still open."""
    clock = VirtualClock()
    settings = Settings(grace=0, keep=None, allow_outbound=("127.0.0.1",))
    async with serving(answer(503), answer(200, {"hot": "tea"})) as web:
        async with Engine.open(path, all_flows(), clock=clock, settings=settings) as engine:
            stories = Stories(engine, clock)
            await engine.principals.bootstrap(b"h" * 32, "tok_1", clock.now())
            await play_ends(stories, f"{web.url}/tea")
            await play_waits(stories)
            await play_open(stories)
        async with Engine.open(path, all_flows(), clock=clock, settings=settings) as engine:
            hung = stories.runs["interrupted"]
            stories.engine = engine
            await stories.until(hung, "node_started", attempt=2)
            yield stories


def write_history(connection: sqlite3.Connection, name: str, run: RunRow) -> None:
    """Write one run, unless it is there."""
    target = HERE / f"{name}.jsonl"
    if target.exists():
        return
    found = connection.execute(QUERIES["raw_events"], (run.run_key,))
    rows = [Stored(seq, TYPES[code], at, data.encode(), payload) for seq, code, at, data, payload in found]
    state = fold(run.run_id, (row.event() for row in rows))
    lines = [json_codec.dumps({"run_id": run.run_id, "adds_up_to": portrait(state)})]
    for row in rows:
        told = {"type": row.type, "data": row.fields(run.run_id), "payload": row.beside() or None}
        lines.append(json_codec.dumps(told))
    target.write_bytes(b"\n".join(lines) + b"\n")
    print(target.name)


def write_file(source: Path, version: int) -> None:
    """Write a database of a schema with the runs of another, unless it is there.

    Files of schemas before 10 hold events in another form. They were made when that was the present one.
    """
    target = HERE / f"schema-{version}.db"
    if target.exists():
        return
    prepare(target, 1_767_225_600_000, MIGRATIONS[:version])
    with closing(sqlite3.connect(target, isolation_level=None)) as connection:
        connection.execute("ATTACH ? AS new", (str(source),))
        fitting = f"SELECT run_key FROM new.runs WHERE {TOO_NEW.get(version, '1')}"
        tables = (
            "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT IN ('migrations', 'keys')"
        )
        for (table,) in connection.execute(tables).fetchall():
            columns = [row[1] for row in connection.execute(f"PRAGMA main.table_info({table})")]
            names = ", ".join(f'"{column}"' for column in columns)
            only = f"WHERE run_key IN ({fitting})" if "run_key" in columns else ""
            connection.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM new.{table} {only}")
        connection.execute("DETACH new")
        for pragma in ("journal_mode = DELETE", "page_size = 512"):  # small pages make a small file
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("VACUUM")
        connection.execute("PRAGMA journal_mode = WAL")
    print(target.name, target.stat().st_size)


async def main() -> None:
    """Make what is missing."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "runs.db"
        async with played(source) as stories:
            with closing(sqlite3.connect(source)) as connection:
                children = connection.execute(
                    "SELECT run_key, parent_run_id FROM runs WHERE parent_run_id NOTNULL"
                )
                for key, _ in children.fetchall()[:1]:
                    stories.runs["child"] = await stories.engine.runs.get_by_key(key)
                for name, run in stories.runs.items():
                    write_history(connection, name, run)
        for step in MIGRATIONS[9:]:
            write_file(source, step.version)


if __name__ == "__main__":
    asyncio.run(main())
