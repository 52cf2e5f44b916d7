"""A bare asyncio loop that makes the same durable writes as a run does: the yardstick of the bench."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import time
from itertools import chain, count
from pathlib import Path

import aiosqlite

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
        self.connection = connection
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


async def run(log: Log, key: int, nodes: int) -> float:
    began, seq, now = time.perf_counter(), count(1), time.time_ns
    first = [(key, next(seq), 0, now(), DATA)]
    for _ in range(nodes):
        await log.append(*first, (key, next(seq), 1, now(), None))
        await noop(key)
        await log.append((key, next(seq), 2, now(), DATA))
        first = []
    await log.append((key, next(seq), 3, now(), DATA))
    return time.perf_counter() - began


async def measure(seconds: float, inflight: int, folder: str) -> dict[str, float]:
    path = Path(folder) / "bare.db"
    async with aiosqlite.connect(path, isolation_level=None, factory=Connection) as connection:
        await connection.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536;"
            "CREATE TABLE events(key INTEGER PRIMARY KEY, run INTEGER, seq INTEGER, type INTEGER, at INTEGER,"
            " data TEXT); CREATE UNIQUE INDEX by_run ON events(run, seq);"
        )
        log, keys = Log(connection), count(1)
        alone = [await run(log, next(keys), 3) for _ in range(101)][1:]
        per_node = await run(log, next(keys), 100) / 100
        done, until = 0, time.perf_counter() + seconds

        async def slot() -> None:
            nonlocal done
            while time.perf_counter() < until:
                await run(log, next(keys), 3)
                done += 1

        began = time.perf_counter()
        await asyncio.gather(*(slot() for _ in range(inflight)))
        elapsed = time.perf_counter() - began
    return {
        "runs_per_s": done / elapsed,
        "alone_ms": statistics.mean(alone) * 1e3,
        "chain_ms_per_node": per_node * 1e3,
    }
