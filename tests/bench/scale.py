"""How long and how much is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """The length of a measurement. All counts are of one round."""

    rounds: int = 5
    seconds: float = 0.6
    connections: int = 50
    #: Runs in the file before the first request: more than one page of the list.
    listed: int = 60
    inflight: tuple[int, ...] = (50, 1_000)
    alone: int = 60
    chain: int = 100
    fan_out: tuple[int, ...] = (100, 1_000)
    map_items: int = 50_000
    #: Finished runs whose bytes are counted.
    finished: int = 1_000
    #: Finished runs in the files whose growth is measured.
    growth: tuple[int, ...] = (500, 5_000, 50_000)
    #: Readers of one run.
    readers: tuple[int, ...] = (50, 500, 5_000)
    #: Waiting runs in the file that a server starts with.
    waiting: tuple[int, ...] = (1_000, 10_000, 100_000)
    #: Starts of a server, and those for each number of waiting runs.
    starts: int = 7
    waiting_starts: int = 3
    neighbour_rounds: int = 3
    neighbour_seconds: float = 1.5


STANDARD = Scale()
QUICK = Scale(
    rounds=2,
    seconds=0.4,
    alone=20,
    map_items=5_000,
    finished=300,
    growth=(100, 1_000, 10_000),
    readers=(50, 500),
    waiting=(1_000, 10_000),
    starts=3,
    waiting_starts=2,
    neighbour_rounds=2,
    neighbour_seconds=1.0,
)
#: For the test that the bench works.
TINY = Scale(
    rounds=1,
    seconds=0.05,
    connections=5,
    listed=2,
    inflight=(5,),
    alone=2,
    chain=5,
    fan_out=(10,),
    map_items=20,
    finished=5,
    growth=(2, 4),
    readers=(2, 4),
    waiting=(10,),
    starts=1,
    waiting_starts=1,
    neighbour_rounds=1,
    neighbour_seconds=0.1,
)
