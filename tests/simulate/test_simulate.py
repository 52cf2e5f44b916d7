"""A minute of the simulation, and that a seed can be lived twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulate.lives import Tally, live_core, live_server, lived, portion
from tests.simulate.more import NEWER, TENANTS

KEPT = Path(__file__).with_name("regressions.txt")
SEEDS = [int(line.split()[0]) for line in KEPT.read_text().splitlines() if not line.startswith("#")]
#: So many worlds a test, and tests: seven seconds of a processor at most for one, 100 for all.
WORLDS, TESTS = 2, 40
#: A plain world, one with schedules, and a newer one.
TWICE = (3, 30, NEWER)


@pytest.mark.parametrize("first", range(0, WORLDS * TESTS, WORLDS))
def test_worlds_of_the_server_are_lived_without_a_violation(first):
    tally, faults = portion(live_server, 10_000 + first, WORLDS)
    assert faults == {}
    assert tally.runs > 20
    assert tally.crashes > 0


@pytest.mark.parametrize("first", range(0, 16, 2))
def test_worlds_with_tenants_webhooks_glitches_and_large_values_are_lived_too(first):
    tally, faults = portion(live_server, NEWER + first, 2)
    assert faults == {}
    assert tally.runs > 10


def test_what_newer_worlds_have_beside_comes_to_pass():
    worlds = [lived(seed) for seed in (NEWER, NEWER + 2)]
    assert all(world.more.delivered for world in worlds)
    assert any(world.more.refused for world in worlds)
    assert {run.origin["tenant"] for world in worlds for run in world.model.ids.values()} == set(TENANTS)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_that_once_found_something_finds_nothing_any_more(seed):
    assert live_server(seed, Tally()) == []


@pytest.mark.parametrize("seed", TWICE)
def test_a_seed_is_lived_alike_in_every_process(seed):
    code = f"from tests.simulate.lives import lived; print(lived({seed}).digest())"
    there = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.split() == [lived(seed).digest()]


def test_another_seed_is_another_world():
    assert lived(3).digest() != lived(4).digest()


def test_worlds_of_the_core_are_lived_without_a_violation():
    tally, faults = portion(live_core, 9_000, 300)
    assert faults == {}
    assert tally.runs == 300
    assert tally.crashes > 0
