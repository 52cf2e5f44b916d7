"""The yardstick of the embedded rows: a bare asyncio loop that makes the same durable writes as a run does.

It writes one record when a node starts and one when it completes, in order, WAL and ``synchronous=FULL``,
group commit, one hop per batch: no less is durable.

In a process of its own: ``python -m tests.bench.loop_side FILE``.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import sys
import time
from functools import partial
from itertools import chain, count
from typing import Any

import aiosqlite

from tests.bench import load
from tests.bench.child import answer

INSERT = "INSERT INTO events(run, seq, type, at, data) VALUES (?, ?, ?, ?, ?)"
MANY = "INSERT INTO events(run, seq, type, at, data) VALUES " + ",".join(["(?, ?, ?, ?, ?)"] * 64)
DATA = '{"node":"fetch","attempt":1,"output":{"status":200,"bytes":18234,"note":"' + "x" * 150 + '"}}'


class Connection(sqlite3.Connection):
    """Commits a batch in one call, in aiosqlite's thread."""

    def executemany(self, sql, rows):
        if sql != "batch":
            return super().executemany(sql, rows)
        self.execute("BEGIN IMMEDIATE")
        whole = len(rows) - len(rows) % 64
        for first in range(0, whole, 64):
            self.execute(MANY, list(chain.from_iterable(rows[first : first + 64])))
        super().executemany(INSERT, rows[whole:])
        self.execute("COMMIT")
        return self.cursor()


class Log:
    """Group commit: one batch in flight, the rest queues up behind it."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.connection, self.keys = connection, count(1)
        self.rows, self.waiting, self.task = [], [], None

    def append(self, *rows) -> asyncio.Future:
        self.rows += rows
        done = asyncio.get_running_loop().create_future()
        self.waiting.append(done)
        if self.task is None:
            self.task = asyncio.create_task(self.flush())
        return done

    async def flush(self) -> None:
        while self.waiting:
            rows, waiting = self.rows, self.waiting
            self.rows, self.waiting = [], []
            await self.connection.executemany("batch", rows)
            for done in waiting:
                done.set_result(None)
            await asyncio.sleep(0)
        self.task = None


async def noop(value: object) -> object:
    return value


async def run(log: Log, nodes: int) -> None:
    """Execute so many nodes, one after the other."""
    key, seq, now = next(log.keys), count(1), time.time_ns
    first = [(key, next(seq), 0, now(), DATA)]
    for _ in range(nodes):
        await log.append(*first, (key, next(seq), 1, now(), None))
        await noop(key)
        await log.append((key, next(seq), 2, now(), DATA))
        first = []
    await log.append((key, next(seq), 3, now(), DATA))


async def fan_out(log: Log, nodes: int) -> None:
    """Execute so many nodes at once; their number is the same as in ``run``."""
    key, seq, now = next(log.keys), count(1), time.time_ns

    async def node() -> None:
        await log.append((key, next(seq), 1, now(), None))
        await noop(key)
        await log.append((key, next(seq), 2, now(), DATA))

    await log.append((key, next(seq), 0, now(), DATA))
    await asyncio.gather(*(node() for _ in range(nodes)))
    await log.append((key, next(seq), 3, now(), DATA))


async def main(path: str) -> None:
    async with aiosqlite.connect(path, isolation_level=None, factory=Connection) as connection:
        await connection.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536;"
            "CREATE TABLE events(key INTEGER PRIMARY KEY, run INTEGER, seq INTEGER, type INTEGER, at INTEGER,"
            " data TEXT); CREATE UNIQUE INDEX by_run ON events(run, seq);"
        )
        log = Log(connection)
        three = partial(run, log, 3)

        async def in_flight(inflight: int, seconds: float) -> dict[str, Any]:
            return await load.in_flight(three, inflight, seconds)

        async def alone(times: int) -> dict[str, Any]:
            return await load.one_by_one(three, times)

        async def chained(nodes: int) -> dict[str, Any]:
            return await load.one_by_one(partial(run, log, nodes), 1, nodes)

        async def fanned_out(nodes: int, seconds: float) -> dict[str, Any]:
            return await load.units_per_second(partial(fan_out, log, nodes), nodes, seconds)

        async def mapped(items: int) -> dict[str, Any]:
            return await load.units_per_second(partial(fan_out, log, items), items, 0)

        await three()
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 10, 10)
        await answer(
            {
                "in_flight": in_flight,
                "client": in_flight,
                "alone": alone,
                "chain": chained,
                "fan_out": fanned_out,
                "map": mapped,
            }
        )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
