"""Lives random worlds for as long as it is told: ``python -m tests.simulate --minutes 60 --jobs 2``.

Each seed is a family of random workflows on one SQLite file: bodies that fail and do not stop, people who
answer, cancel, terminate and rerun, in one world of four schedules that people trigger and pause, clocks that
are set, crashes before any step and in the middle of commits, restarts. Seeds from 20,000,000 on have
several tenants, signed and forged deliveries, values that are too large and glitches of the clock, too. With
``--core`` it is the pure core alone, some hundred times faster: random graphs, facts in any order, crashes at
every point. A violation names its seed: ``--seed N --worlds 1`` lives that world again, step for step.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from itertools import count
from multiprocessing import get_context

from tests.simulate.lives import Tally, live_core, live_server, portion

#: Worlds that a process lives before it says so.
PORTION = 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the first seed")
    parser.add_argument(
        "--worlds", type=int, default=None, help="how many seeds; without it, until time is up"
    )
    parser.add_argument("--core", action="store_true", help="the pure core alone")
    options = parser.parse_args()
    life = live_core if options.core else live_server
    size = min(PORTION, options.worlds or PORTION)
    last = options.seed + options.worlds if options.worlds else None
    firsts = count(options.seed, size) if last is None else iter(range(options.seed, last, size))
    began, told, total, failed = time.monotonic(), 0.0, Tally(), 0
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        running, seed = set(), options.seed
        while True:
            while len(running) < options.jobs and time.monotonic() - began < options.minutes * 60:
                if (seed := next(firsts, -1)) < 0:
                    break
                worlds = size if last is None else min(size, last - seed)
                running.add(pool.submit(portion, life, seed, worlds))
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for part in done:
                tally, faults = part.result()
                total.add(tally)
                failed += _tell(faults, core=options.core)
            if time.monotonic() - told > 30:
                told = time.monotonic()
                print(_line(began, total, failed), flush=True)
    print(f"seeds from {options.seed}; {_line(began, total, failed)}")
    if failed:
        raise SystemExit(1)


def _tell(faults: dict[int, list[str]], *, core: bool) -> int:
    for seed, found in faults.items():
        again = f"python -m tests.simulate{' --core' * core} --seed {seed} --worlds 1"
        print(f"VIOLATION seed {seed} ({again}):", *found[:5], sep="\n    ", flush=True)
    return len(faults)


def _line(began: float, total: Tally, failed: int) -> str:
    seconds = time.monotonic() - began
    rates = f"{total.runs / seconds:.0f} runs/s, {total.crashes / seconds:.1f} crashes/s"
    return (
        f"{seconds:.0f} s: {total.worlds:,} worlds, {total.runs:,} runs, {total.events:,} events,"
        f" {total.crashes:,} crashes, {failed} seeds with a violation ({rates})"
    )


if __name__ == "__main__":
    main()
