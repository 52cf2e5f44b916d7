"""The simulation runs, and counts what it lives."""

from __future__ import annotations

from tests.simulate.__main__ import Tally, live_core, live_server


def test_a_world_of_the_server_is_lived_without_a_violation():
    tally = Tally()
    assert [fault for seed in (1, 2) for fault in live_server(seed, tally)] == []
    assert tally.runs > 0
    assert tally.events > tally.runs


def test_worlds_of_the_core_are_lived_without_a_violation():
    tally = Tally()
    assert [fault for seed in range(9_000, 9_300) for fault in live_core(seed, tally)] == []
    assert tally.runs == 300
    assert tally.crashes > 0
