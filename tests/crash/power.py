"""Power cuts, simulated: ``python -m tests.crash.power --images 5000``.

A server works under a mixed load with every write and sync of its database files recorded, and is killed
and started again on the way. Then the power is cut at random moments of that record: what had been synced is
on the disk, and of the rest any part, each write whole, torn at sectors, or not at all, each new or removed
name perhaps. Each disk that this can leave must open, hold together, and hold all that any caller was told.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from attrs import define, field

from infraweave.core.run.event_codec import TYPE_CODES
from infraweave.errors import StartupError, StorageUnavailable
from infraweave.store.maintenance.verify import verify
from infraweave.store.sqlite.database import Database
from tests.crash.disk_trace import CALLS, Entry, Op, Said, Sync, Trace, Truncate, Write
from tests.crash.load import WORKFLOWS, Ledger, drive
from tests.crash.server import Process

SECTOR = 512


async def record(folder: Path, rng: random.Random, lives: int, seconds: float) -> tuple[Trace, Ledger]:
    """Put a load on a traced server, which is killed some times; return what it did and what it told."""
    (folder / "flows.py").write_text(WORKFLOWS)
    process, ledger = Process(folder), Ledger()
    trace = Trace(process.db)
    try:
        for life in range(lives):
            out = folder / f"trace-{life}"
            process.under = [
                "strace",
                "-D",
                "-f",
                "-y",
                "-xx",
                "-s",
                "8388608",
                "-o",
                str(out),
                "-e",
                f"trace={CALLS}",
            ]
            if (
                life == lives - 1
            ):  # the last life ends in peace: its checkpoint and its removal of the WAL count too
                async with process.start():
                    process.terminate()
                    process.wait()
            else:
                await drive(process, ledger, rng, seconds)
            _wait_for(out, process.pid)
            trace.read(out)
    finally:
        process.kill()
    return trace, ledger


def _wait_for(out: Path, pid: int) -> None:
    """Wait until the tracer has written that the process is gone."""
    for _ in range(400):
        with out.open("rb") as file:
            file.seek(max(0, out.stat().st_size - 4096))
            if re.search(rb"^%d +\+\+\+ " % pid, file.read(), re.MULTILINE):
                return
        time.sleep(0.05)  # it is another process
    raise AssertionError(f"{out} has no end")


# --- the disk ----------------------------------------------------------------------------------------------


@define
class File:
    """One file: what is on the disk for certain, and what may be."""

    sure: bytearray = field(factory=bytearray)
    #: With the place of each in the record.
    maybe: list[tuple[int, Write | Truncate]] = field(factory=list)

    def settle(self, before: int) -> None:
        """What was begun before a moment is on the disk."""
        for _, op in (entry for entry in self.maybe if entry[0] < before):
            _apply(self.sure, op)
        self.maybe = [entry for entry in self.maybe if entry[0] >= before]

    def left(self, rng: random.Random) -> bytearray:
        """Return what a power cut may leave of it."""
        content, ops = bytearray(self.sure), [op for _, op in self.maybe]
        if rng.random() < 0.5:
            rng.shuffle(ops)
        kept = rng.choice([0.0, 0.5, 0.9, 1.0])
        for op in ops:
            if rng.random() < kept:
                _apply(content, op)
            elif isinstance(op, Write) and rng.random() < 0.5:
                _tear(content, op, rng)
        return content


def _apply(content: bytearray, op: Write | Truncate) -> None:
    match op:
        case Truncate(_, size):
            del content[size:]
            content.extend(bytes(size - len(content)))
        case Write(_, offset, data):
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data


def _tear(content: bytearray, write: Write, rng: random.Random) -> None:
    """Write some of the sectors that a write touches, and not the others."""
    at, end = write.offset, write.offset + len(write.data)
    while at < end:
        until = min(end, (at // SECTOR + 1) * SECTOR)
        if rng.random() < 0.5:
            _apply(content, Write(write.file, at, write.data[at - write.offset : until - write.offset]))
        at = until


@define
class Disk:
    """The files of a database, as far as the record has come."""

    files: dict[str, File] = field(factory=dict)
    #: By name: which file it means for certain, and which it may mean since.
    sure: dict[str, File | None] = field(factory=dict)
    maybe: dict[str, list[File | None]] = field(factory=dict)
    told: list[Said] = field(factory=list)

    def take(self, place: int, op: Op) -> None:
        """Let an operation happen."""
        match op:
            case Write() | Truncate():
                self.files[op.file].maybe.append((place, op))
            case Sync("", _):
                self.sure |= {name: files[-1] for name, files in self.maybe.items()}
                self.maybe.clear()
            case Sync(name, since):
                self.files[name].settle(since)
            case Entry(name, there):
                file = File() if there else None
                self.maybe.setdefault(name, []).append(file)
                if file is not None:
                    self.files[name] = file
            case Said():
                self.told.append(op)

    def cut(self, folder: Path, rng: random.Random) -> None:
        """Write into a folder what a power cut at this moment may leave."""
        for name in self.sure.keys() | self.maybe.keys():
            file = rng.choice([self.sure.get(name), *self.maybe.get(name, [])])
            if file is not None:
                (folder / name).write_bytes(file.left(rng))


def moments(ops: list[Op], count: int, rng: random.Random) -> list[int]:
    """Return when to cut: at any moment, just before a sync returns, and just after an answer went out."""
    syncs = [place for place, op in enumerate(ops) if isinstance(op, Sync)]
    answers = [place + 1 for place, op in enumerate(ops) if isinstance(op, Said)]
    kinds = [range(len(ops) + 1), syncs, answers]
    return sorted(rng.choice(rng.choice(kinds)) for _ in range(count))


def disks(ops: list[Op], count: int, rng: random.Random, folder: Path) -> Iterator[tuple[int, Path, Disk]]:
    """Yield disks that power cuts leave, each with its moment and what callers had been told by then."""
    disk, done = Disk(), 0
    for moment in moments(ops, count, rng):
        for place in range(done, moment):
            disk.take(place, ops[place])
        done = moment
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        disk.cut(folder, rng)
        yield moment, folder / "runs.db", disk


# --- what must hold ----------------------------------------------------------------------------------------


@define
class Promised:
    """All that callers had been told by a moment."""

    runs: set[str] = field(factory=set)
    #: By run, the last event that anybody has seen.
    seen: Counter = field(factory=Counter)
    signals: set[tuple[str, str]] = field(factory=set)
    cancelled: set[str] = field(factory=set)

    @classmethod
    def of(cls, told: list[Said]) -> Promised:
        promised = cls()
        for said in told:
            promised.runs |= said.runs
            promised.signals |= said.signals
            promised.cancelled |= said.cancelled
            for run_id, seq in said.events:
                promised.seen[run_id] = max(promised.seen[run_id], seq)
        return promised


async def check(db: Path, told: list[Said]) -> None:
    """Hold a disk to what was told."""
    promised = Promised.of(told)
    try:
        async with Database.open(db):
            pass
    except StartupError as error:
        raise AssertionError(f"it does not open: {error}") from error
    except StorageUnavailable as error:
        raise AssertionError(f"it cannot be read: {error.__cause__}") from error
    problems = list(verify(db))
    assert not problems, problems[:3]
    with closing(sqlite3.connect(db)) as connection:
        heads = dict(
            connection.execute(
                "SELECT run_id, MAX(seq) FROM runs JOIN events USING (run_key) GROUP BY run_id"
            )
        )
        signals = set(
            connection.execute(
                "SELECT run_id, data ->> 'request_id' FROM runs JOIN events USING (run_key) WHERE type = ?",
                (TYPE_CODES["signal_received"],),
            )
        )
        stopping = {
            run_id
            for (run_id,) in connection.execute(
                "SELECT run_id FROM runs JOIN events USING (run_key) WHERE data ->> 'cancel_requested'"
            )
        }
    assert promised.runs <= heads.keys(), f"lost runs: {promised.runs - heads.keys()}"
    short = {run_id: seq for run_id, seq in promised.seen.items() if heads.get(run_id, 0) < seq}
    assert not short, f"lost events, that somebody had seen: {short}"
    assert promised.signals <= signals, f"lost signals: {promised.signals - signals}"
    assert promised.cancelled <= stopping, f"lost cancels: {promised.cancelled - stopping}"


async def cut_again_and_again(trace: Trace, images: int, rng: random.Random, folder: Path) -> int:
    """Cut the power so many times; return of how many answers was shown that they outlive it."""
    answers = 0
    for moment, db, disk in disks(trace.ops, images, rng, folder):
        try:
            await check(db, disk.told)
        except (AssertionError, sqlite3.DatabaseError, StartupError) as error:
            kept = shutil.copytree(db.parent, Path(tempfile.mkdtemp()) / "disk")
            raise AssertionError(f"cut at {moment} of {len(trace.ops)}, kept in {kept}: {error}") from error
        answers += len(disk.told)
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    done, answers, seed, began = 0, 0, options.seed, time.monotonic()
    while done < options.images:
        rng, count = random.Random(seed), min(500, options.images - done)
        with tempfile.TemporaryDirectory() as folder:
            trace, ledger = asyncio.run(record(Path(folder), rng, 3, 2.0))
            print(f"seed {seed}: {len(ledger.started)} runs, {len(trace.ops)} operations", flush=True)
            answers += asyncio.run(cut_again_and_again(trace, count, rng, Path(folder) / "cut"))
        done, seed = done + count, seed + 1
        print(
            f"{time.monotonic() - began:.0f} s: {done} power cuts, {answers} answers that outlived them",
            flush=True,
        )


if __name__ == "__main__":
    main()
