"""Lives random worlds for as long as it is told: ``python -m tests.simulate --minutes 60``.

Each seed is a family of random workflows on one SQLite file and a virtual clock: bodies that fail and do not
stop, people who answer, cancel, terminate and rerun, crashes between any two steps, restarts. With ``--core``
it is the pure core alone, some hundred times faster: random graphs, facts in any order, crashes at every
point. The first violation ends it and names its seed: ``--seed N --worlds 1`` lives that world again.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from attrs import define

from infraweave.core.events import Completed, NodeCompleted, NodeStarted
from infraweave.core.facts import Resumed
from infraweave.core.state import fold
from infraweave.engine import clock
from tests.core.graphs import World, live
from tests.engine.trouble import Trouble, trouble


@define
class Tally:
    """What was lived."""

    worlds: int = 0
    runs: int = 0
    events: int = 0
    crashes: int = 0


def live_server(seed: int, tally: Tally) -> list[str]:
    """Live one world of the whole server below HTTP; return what was violated."""
    clock._IDS.seed(seed)
    random.seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "world.db"
        world = trouble(seed, db)
        crash = Trouble.crash

        def counted(self: Trouble, engine: object) -> None:
            tally.crashes += 1
            crash(self, engine)

        Trouble.crash = counted
        try:
            asyncio.run(world.live())
        finally:
            Trouble.crash = crash
        with closing(sqlite3.connect(db)) as file:
            tally.runs += file.execute("SELECT count(*) FROM runs").fetchone()[0]
            tally.events += file.execute("SELECT count(*) FROM events").fetchone()[0]
    return world.faults


def live_core(seed: int, tally: Tally) -> list[str]:
    """Live one run of the core; return what was violated."""
    give = World.give

    def counted(self: World, fact: object) -> object:
        tally.crashes += isinstance(fact, Resumed)
        return give(self, fact)

    World.give = counted
    try:
        world = live(seed)
    finally:
        World.give = give
    tally.runs += 1
    tally.events += len(world.log)
    return list(_core_faults(world))


def _core_faults(world: World):
    if world.state.end is None:
        yield "it never ended"
    if [event.seq for event in world.log] != list(range(1, len(world.log) + 1)):
        yield "seq has holes"
    if fold(world.state.run_id, world.log) != world.state:
        yield "the fold of the log is not the state"
    if isinstance(world.log[-1], Completed) and world.state.settled.keys() != world.graph.nodes.keys():
        yield "it succeeded with nodes that were not settled"
    done = set()
    for event in world.log:
        if isinstance(event, NodeStarted) and event.address in done:
            yield f"{event.address} began again"
        elif isinstance(event, NodeCompleted):
            done.add(event.address)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--worlds", type=int, default=None)
    parser.add_argument("--core", action="store_true")
    options = parser.parse_args()
    life: Callable[[int, Tally], list[str]] = live_core if options.core else live_server
    began, told, tally, seed = time.monotonic(), 0.0, Tally(), options.seed
    while time.monotonic() - began < options.minutes * 60 and tally.worlds != options.worlds:
        if faults := life(seed, tally):
            raise SystemExit(f"seed {seed}: {faults}")
        tally.worlds += 1
        seed += 1
        if time.monotonic() - told > 30:
            told = time.monotonic()
            print(f"{told - began:.0f} s, to seed {seed}: {tally}", flush=True)
    print(f"{time.monotonic() - began:.0f} s, seeds {options.seed} to {seed - 1}: {tally}")


if __name__ == "__main__":
    main()
