"""The gate by itself: no limit is passed, nobody waits for nothing, and all have their turn."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from infraweave.core.run.events import Origin
from infraweave.core.workflow.document import Concurrency
from infraweave.engine.admission import admission as gate_module
from infraweave.engine.admission.admission import Gate
from infraweave.engine.admission.limits import Candidate, LaneKey
from infraweave.engine.admission.slots import Slots
from infraweave.settings import Settings

KEY = "{input.k}"


class House:
    """A gate and its slots, with runs that hold a slot until they wait, and a place until they end."""

    def __init__(self, slots: int, tenants: int = 1, max_queued: int = 10_000) -> None:
        self.granted: list[int] = []
        self.slots = Slots(slots, self.granted.append)
        self.gate = Gate(self.slots, Settings(max_queued=max_queued), self._count, lambda: tenants)
        self.keys = iter(range(1, 10**6))
        self.runs: dict[int, Candidate] = {}
        self.waiting: list[int] = []
        self.executing: list[int] = []
        self.resting: list[int] = []
        self.order: list[int] = []
        self.counts: list[LaneKey] = []

    async def _count(self, lanes: Sequence[LaneKey]) -> list[int]:
        self.counts += lanes
        counts = self.open_in()
        await asyncio.sleep(0)
        return [counts[lane] for lane in lanes]

    def come(self, candidate: Candidate) -> int:
        if candidate.limits:
            asyncio.run(self.gate.prepare([candidate]))
        run_key = next(self.keys)
        self.runs[run_key] = candidate
        if self.gate.may_start(run_key, candidate):
            self._begin(run_key)
        else:
            self.waiting.append(run_key)
        self.follow()
        return run_key

    def _begin(self, run_key: int) -> None:
        self.executing.append(run_key)
        self.order.append(run_key)
        self.gate.started(run_key, self._origin(run_key))

    def _origin(self, run_key: int) -> Origin:
        run = self.runs[run_key]
        return Origin(
            workflow_id=run.workflow_id,
            workflow_version="v1",
            trigger="api",
            tenant=run.tenant,
            by="x",
            trace_id="0" * 32,
            lane=run.lane,
        )

    def follow(self) -> None:
        """Let those start who were given a slot."""
        while self.granted:
            run_key = self.granted.pop(0)
            self.waiting.remove(run_key)
            self._begin(run_key)

    def rest(self, place: int) -> None:
        if self.executing:
            self.resting.append(self.executing.pop(place % len(self.executing)))
            self.slots.release()
            self.follow()

    def end(self, place: int) -> None:
        if self.resting:
            run_key = self.resting.pop(place % len(self.resting))
            self.gate.ended(self._origin(run_key))
            self.follow()

    def cancel(self, place: int) -> None:
        if self.waiting:
            run_key = self.waiting.pop(place % len(self.waiting))
            self.gate.withdraw(run_key)
            self.follow()

    # --- what must hold ------------------------------------------------------------------------------------

    def open_in(self) -> Counter[LaneKey]:
        counts: Counter[LaneKey] = Counter()
        for run in (self.runs[key] for key in (*self.executing, *self.resting)):
            counts[run.tenant, run.workflow_id, None] += 1
            if run.lane is not None:
                counts[run.tenant, run.workflow_id, run.lane] += 1
        return counts

    def check(self) -> None:
        counts = self.open_in()
        for key, lane in self.gate._lanes.items():
            assert lane.open == counts[key], key
            assert lane.reserved >= 0
        assert self.gate.queued == len(self.waiting)
        assert self.slots.used == len(self.executing) <= self.slots.limit
        if self.slots.used < self.slots.limit:
            for run_key in self.waiting:  # a free slot, and yet it waits: a lane of its own must be full
                gates = self.runs[run_key].gates()
                lanes = [(self.gate._lanes[key], limit.limit) for key, limit in gates]
                assert any(
                    not lane.has_room(limit) or ((first := lane.first()) and first[0].run_key != run_key)
                    for lane, limit in lanes
                )

    def drain(self) -> None:
        """Let everybody end; nobody may be left behind."""
        while self.executing or self.resting:
            self.rest(0)
            self.end(0)
            self.check()
        assert self.waiting == []
        assert self.gate._tickets == {}
        assert all(
            (lane.open, lane.reserved, lane.tickets) == (0, 0, 0) for lane in self.gate._lanes.values()
        )


limits = st.sampled_from(
    [
        (),
        (Concurrency(1),),
        (Concurrency(3),),
        (Concurrency(1, key=KEY),),
        (Concurrency(2, key=KEY), Concurrency(3)),
        (Concurrency(1), Concurrency(2, key=KEY)),
    ]
)


def candidate(tenant: str, workflow_id: str, value: str, of_version) -> Candidate:
    lane = f"{KEY} = {value}" if any(limit.key for limit in of_version) else None
    return Candidate(tenant, workflow_id, lane, of_version)


candidates = st.builds(
    candidate, st.sampled_from("ab"), st.sampled_from(["w", "x"]), st.sampled_from("123"), limits
)
moves = st.one_of(
    st.tuples(st.just("come"), candidates),
    st.tuples(st.sampled_from(["rest", "end", "cancel"]), st.integers(0, 50)),
)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 4), st.lists(moves, max_size=60), st.sampled_from([0, 10_000]))
def test_no_limit_is_passed_nobody_waits_for_nothing_and_all_have_their_turn(slots, story, most_idle):
    house, kept = House(slots), gate_module.MOST_IDLE
    gate_module.MOST_IDLE = most_idle
    try:
        for move, what in story:
            getattr(house, move)(what)
            house.check()
        house.drain()
    finally:
        gate_module.MOST_IDLE = kept


of_one_version = st.builds(
    lambda tenant, value, limits: candidate(tenant, f"w{limits}", value, limits),
    *(st.sampled_from("ab"), st.sampled_from("12"), limits),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(moves.filter(lambda move: move[0] != "come"), st.tuples(st.just("come"), of_one_version))
    )
)
def test_where_all_runs_are_of_one_version_its_limit_holds_at_every_moment(story):
    house = House(3)
    for move, what in story:
        getattr(house, move)(what)
        for run_key in (*house.executing, *house.resting):
            for key, limit in house.runs[run_key].gates():
                assert house.open_in()[key] <= limit.limit
    house.drain()


@settings(max_examples=50, deadline=None)
@given(st.lists(moves, max_size=60))
def test_within_a_lane_runs_start_in_the_order_in_which_they_came(story):
    house = House(3)
    for move, what in story:
        getattr(house, move)(what)
    house.drain()
    lanes = defaultdict(list)
    for run_key in house.order:
        run = house.runs[run_key]
        if run.lane is not None:
            lanes[run.tenant, run.workflow_id, run.lane, run.limits].append(run_key)
    assert all(keys == sorted(keys) for keys in lanes.values())


def test_lanes_in_which_nobody_is_are_not_kept_for_ever(monkeypatch):
    monkeypatch.setattr(gate_module, "MOST_IDLE", 10)
    house = House(1_000)
    for number in range(100):
        house.come(candidate("a", "w", str(number), (Concurrency(1, key=KEY),)))
    assert len(house.gate._lanes) <= 11  # although their runs are open
    for number in range(100):
        house.come(candidate("a", "w", str(number), (Concurrency(1, key=KEY),)))
        house.rest(0)
        house.end(0)
    house.check()
    house.drain()


def test_a_lane_is_counted_once_however_many_come_at_once():
    house = House(10)
    wanted = candidate("a", "w", "1", (Concurrency(1, key=KEY), Concurrency(5)))

    async def storm() -> None:
        await asyncio.gather(*(house.gate.prepare([wanted]) for _ in range(50)))

    asyncio.run(storm())
    assert len(house.counts) == 2
