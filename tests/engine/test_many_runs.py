"""How much memory a server takes after very many runs: what it holds for those under way, and no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infraweave.engine.garbage_collector import STEP, GarbageCollector

ROOT = Path(__file__).parents[2]
#: The page caches of SQLite fill to 64 MB and three times 8 MB, and an allocator keeps some for later.
CACHES = 110 << 20


def memory(*words: str) -> tuple[int, int]:
    """Return the memory of a process after its first runs, and after all of them."""
    command = [sys.executable, "-m", "tests.engine.many_runs", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.split()
    return int(first), int(last)


@pytest.mark.timeout(300)  # ten thousand runs that reach the disk, on a busy machine
def test_after_ten_thousand_runs_no_more_memory_is_taken_than_after_two_thousand():
    first, last = memory()
    assert last - first < CACHES


@pytest.mark.timeout(300)
def test_what_circles_of_authors_code_hold_does_not_pile_up():
    first, last = memory("circles")  # 900 MB hang in them
    assert last - first < 160 << 20


def test_everything_is_looked_through_once_memory_has_grown_and_not_else():
    grown = 400 + 100 + 64
    sizes = iter([400, grown - 1, grown, 300, grown - 126, grown - 125, 300])
    collector = GarbageCollector(lambda: next(sizes) << 20)
    assert STEP == 64 << 20
    assert [collector.collect_if_grown() for _ in range(4)] == [False, True, False, True]
