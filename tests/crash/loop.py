"""Kills a server under load again and again: ``python -m tests.crash.loop --kills 500``.

Prints what was done and found; the first violation ends it with the seed that led there.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from attrs import define, field

from tests.crash.load import WORKFLOWS, Ledger, check, drive
from tests.crash.server import Process

#: Kills between two looks at everything that was acknowledged; then a new file begins.
ROUND = 10


@define
class Tally:
    """What a loop has done."""

    kills: int = 0
    runs: int = 0
    signals: int = 0
    cancels: int = 0
    events_read: int = 0
    ends: Counter = field(factory=Counter)

    def add(self, ledger: Ledger, ends: Counter) -> None:
        self.runs += len(ledger.started)
        self.signals += len(ledger.signalled)
        self.cancels += len(ledger.cancelled)
        self.events_read += sum(map(len, ledger.seen.values()))
        self.ends += ends


async def kill_again_and_again(folder: Path, kills: int, seed: int, tally: Tally) -> None:
    """Kill a server so many times, and then hold it to all that it had acknowledged."""
    (folder / "flows.py").write_text(WORKFLOWS)
    process, ledger, rng = Process(folder), Ledger(), random.Random(seed)
    try:
        for _ in range(kills):
            await drive(process, ledger, rng, rng.uniform(0.0, 0.8))
            tally.kills += 1
        async with process.start() as client:
            tally.add(ledger, await check(client, ledger))
    finally:
        process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tally, began, seed = Tally(), time.monotonic(), options.seed
    while tally.kills < options.kills:
        with tempfile.TemporaryDirectory() as folder:
            kills = min(ROUND, options.kills - tally.kills)
            try:
                asyncio.run(kill_again_and_again(Path(folder), kills, seed, tally))
            except BaseException:
                print(f"seed {seed} after {tally}")
                raise
        seed += 1
        print(f"{time.monotonic() - began:.0f} s: {tally}", flush=True)


if __name__ == "__main__":
    main()
