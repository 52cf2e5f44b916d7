"""A process is killed in the middle of its writes: what it was told is kept, and the rest is whole."""

from __future__ import annotations

import subprocess
import sys

from infraweave.store.journal import Journal
from infraweave.store.sqlite.database import Database

WRITER = """
import asyncio, sys
from infraweave.store.sqlite.database import Database
from infraweave.store.journal import Journal
from tests.store.histories import entry, opening, steps

async def produce(journal, run_key):
    await journal.append([entry(run_key, opening(), 0)])
    for seq in range(2, 1_000_000, 3):
        await journal.append([entry(run_key, steps(seq, 3))])
        print(run_key, seq + 2)

async def main():
    async with Database.open(sys.argv[1]) as db:
        journal = Journal(db)
        await asyncio.gather(*(produce(journal, journal.new_key()) for _ in range(40)))

asyncio.run(main())
"""


def kill_in_the_middle(path, lines):
    """Run the writer, kill it after that many acknowledgements, and return the last one of each run."""
    told = {}
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(lines):
            run_key, seq = process.stdout.readline().split()
            told[int(run_key)] = int(seq)
        process.kill()
        for line in process.stdout:
            if line.endswith("\n"):
                run_key, seq = line.split()
                told[int(run_key)] = int(seq)
    assert process.returncode == -9
    return told


async def test_kill_9_leaves_a_whole_prefix_that_holds_all_that_was_acknowledged(path):
    told = kill_in_the_middle(path, 3000)

    async with Database.open(path) as db:
        assert await db.transact(lambda c: c.execute("PRAGMA integrity_check").fetchone()[0]) == "ok"
        journal = Journal(db)
        for run_key, acknowledged in told.items():
            events = await journal.load(run_key)
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert (len(events) - 1) % 3 == 0, "half of an append"
            assert len(events) >= acknowledged
        assert journal.new_key() == 41
