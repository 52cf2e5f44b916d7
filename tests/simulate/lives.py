"""Lives the worlds of seeds, and counts what was lived."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from attrs import astuple, define

from infraweave.core.run.events import Completed, NodeCompleted, NodeStarted
from infraweave.core.run.facts import Recovered
from infraweave.core.run.invariants import violation
from infraweave.core.run.state import RunState, evolve, fold
from tests.core.graphs import World as CoreWorld
from tests.core.graphs import live
from tests.simulate.world import World

#: Where the files lie, if there is such a place: fsync makes a disk slow, and nobody pulls a plug here.
MEMORY = Path("/dev/shm")


@define
class Tally:
    """What was lived."""

    worlds: int = 0
    runs: int = 0
    events: int = 0
    crashes: int = 0

    def add(self, other: Tally) -> None:
        """Count what somebody else has lived."""
        self.__init__(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))


def lived(seed: int) -> World:
    """Return a world of the whole server below HTTP that has been lived to its end."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        world = World(seed, Path(folder))
        world.live()
    return world


def live_server(seed: int, tally: Tally) -> list[str]:
    """Live one world of the whole server below HTTP; return what was violated."""
    world = lived(seed)
    tally.add(Tally(0, len(world.model.ids), world.model.events, world.crashes))
    return world.faults


def live_core(seed: int, tally: Tally) -> list[str]:
    """Live one run of the core; return what was violated."""
    give = CoreWorld.give

    def counted(self: CoreWorld, fact: object) -> object:
        tally.crashes += isinstance(fact, Recovered)
        return give(self, fact)

    CoreWorld.give = counted
    try:
        world = live(seed)
    finally:
        CoreWorld.give = give
    tally.runs += 1
    tally.events += len(world.log)
    return list(_core_faults(world))


def _core_faults(world: CoreWorld) -> Iterator[str]:
    if world.state.end is None:
        yield "it never ended"
    if [event.seq for event in world.log] != list(range(1, len(world.log) + 1)):
        yield "seq has holes"
    if fold(world.state.run_id, world.log) != world.state:
        yield "the fold of the log is not the state"
    if isinstance(world.log[-1], Completed) and world.state.settled.keys() != world.graph.nodes.keys():
        yield "it succeeded with nodes that were not settled"
    done, state = set(), RunState(world.state.run_id)
    for event in world.log:
        if (why := violation(state, event)) is not None:
            yield f"event {event.seq}: {why}"
            return
        evolve(state, event)
        if isinstance(event, NodeStarted) and event.address in done:
            yield f"{event.address} began again"
        elif isinstance(event, NodeCompleted):
            done.add(event.address)


def portion(
    life: Callable[[int, Tally], list[str]], first: int, worlds: int
) -> tuple[Tally, dict[int, list[str]]]:
    """Live some worlds; return what was lived, and by seed what was violated."""
    tally, faults = Tally(), {}
    for seed in range(first, first + worlds):
        tally.worlds += 1
        try:
            found = life(seed, tally)
        except Exception as error:  # noqa: BLE001 - the seed must be told with it
            found = [f"the simulation failed: {error!r}"]
        if found:
            faults[seed] = found
    return tally, faults
