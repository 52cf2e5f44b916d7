"""Admission control by itself: no limit is passed, nobody waits for nothing, and all have their turn."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from infraweave.core.run.events import Origin
from infraweave.core.workflow.document import Concurrency
from infraweave.engine.admission import admission as admission_module
from infraweave.engine.admission.admission import AdmissionControl
from infraweave.engine.admission.groups import AdmissionRequest, GroupKey
from infraweave.engine.admission.slots import Slots
from infraweave.settings import Settings

KEY = "{input.k}"


class House:
    """Admission control and its slots, whose runs hold a slot until they wait and a place until they end."""

    def __init__(self, slots: int, tenants: int = 1, max_queued: int = 10_000) -> None:
        self.granted: list[int] = []
        self.slots = Slots(slots, self.granted.append)
        self.admission = AdmissionControl(
            self.slots, Settings(max_queued=max_queued), self._count, lambda: tenants
        )
        self.keys = iter(range(1, 10**6))
        self.runs: dict[int, AdmissionRequest] = {}
        self.waiting: list[int] = []
        self.executing: list[int] = []
        self.resting: list[int] = []
        self.order: list[int] = []
        self.counts: list[GroupKey] = []

    async def _count(self, groups: Sequence[GroupKey]) -> list[int]:
        self.counts += groups
        counts = self.open_in()
        await asyncio.sleep(0)
        return [counts[group] for group in groups]

    def come(self, request: AdmissionRequest) -> int:
        if request.limits:
            asyncio.run(self.admission.prepare([request]))
        run_key = next(self.keys)
        self.runs[run_key] = request
        if self.admission.admit(run_key, request):
            self._begin(run_key)
        else:
            self.waiting.append(run_key)
        self.follow()
        return run_key

    def _begin(self, run_key: int) -> None:
        self.executing.append(run_key)
        self.order.append(run_key)
        self.admission.started(run_key, self._origin(run_key))

    def _origin(self, run_key: int) -> Origin:
        run = self.runs[run_key]
        return Origin(
            workflow_id=run.workflow_id,
            workflow_version="v1",
            trigger="api",
            tenant=run.tenant,
            by="x",
            trace_id="0" * 32,
            lane=run.concurrency_key,
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
            self.admission.ended(self._origin(run_key))
            self.follow()

    def cancel(self, place: int) -> None:
        if self.waiting:
            run_key = self.waiting.pop(place % len(self.waiting))
            self.admission.remove(run_key)
            self.follow()

    # --- what must hold ------------------------------------------------------------------------------------

    def open_in(self) -> Counter[GroupKey]:
        counts: Counter[GroupKey] = Counter()
        for run in (self.runs[key] for key in (*self.executing, *self.resting)):
            counts[run.tenant, run.workflow_id, None] += 1
            if run.concurrency_key is not None:
                counts[run.tenant, run.workflow_id, run.concurrency_key] += 1
        return counts

    def check(self) -> None:
        counts = self.open_in()
        for key, group in self.admission._groups.items():
            assert group.open == counts[key], key
            assert group.reserved >= 0
        assert self.admission.queued == len(self.waiting)
        assert self.slots.used == len(self.executing) <= self.slots.limit
        if self.slots.used < self.slots.limit:
            for run_key in self.waiting:  # a free slot, and yet it waits: a group of its own must be full
                limits_ = self.runs[run_key].group_limits()
                groups = [(self.admission._groups[key], limit.limit) for key, limit in limits_]
                assert any(
                    not group.has_room(limit) or ((first := group.first()) and first[0].run_key != run_key)
                    for group, limit in groups
                )

    def drain(self) -> None:
        """Let everybody end; nobody may be left behind."""
        while self.executing or self.resting:
            self.rest(0)
            self.end(0)
            self.check()
        assert self.waiting == []
        assert self.admission._pending == {}
        assert all(
            (group.open, group.reserved, group.pending) == (0, 0, 0)
            for group in self.admission._groups.values()
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


def request(tenant: str, workflow_id: str, value: str, of_version) -> AdmissionRequest:
    group = f"{KEY} = {value}" if any(limit.key for limit in of_version) else None
    return AdmissionRequest(tenant, workflow_id, group, of_version)


requests = st.builds(
    request, st.sampled_from("ab"), st.sampled_from(["w", "x"]), st.sampled_from("123"), limits
)
moves = st.one_of(
    st.tuples(st.just("come"), requests),
    st.tuples(st.sampled_from(["rest", "end", "cancel"]), st.integers(0, 50)),
)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 4), st.lists(moves, max_size=60), st.sampled_from([0, 10_000]))
def test_no_limit_is_passed_nobody_waits_for_nothing_and_all_have_their_turn(slots, story, most_idle):
    house, kept = House(slots), admission_module.MAX_IDLE_GROUPS
    admission_module.MAX_IDLE_GROUPS = most_idle
    try:
        for move, what in story:
            getattr(house, move)(what)
            house.check()
        house.drain()
    finally:
        admission_module.MAX_IDLE_GROUPS = kept


of_one_version = st.builds(
    lambda tenant, value, limits: request(tenant, f"w{limits}", value, limits),
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
            for key, limit in house.runs[run_key].group_limits():
                assert house.open_in()[key] <= limit.limit
    house.drain()


@settings(max_examples=50, deadline=None)
@given(st.lists(moves, max_size=60))
def test_within_a_lane_runs_start_in_the_order_in_which_they_came(story):
    house = House(3)
    for move, what in story:
        getattr(house, move)(what)
    house.drain()
    groups = defaultdict(list)
    for run_key in house.order:
        run = house.runs[run_key]
        if run.concurrency_key is not None:
            groups[run.tenant, run.workflow_id, run.concurrency_key, run.limits].append(run_key)
    assert all(keys == sorted(keys) for keys in groups.values())


def test_lanes_in_which_nobody_is_are_not_kept_for_ever(monkeypatch):
    monkeypatch.setattr(admission_module, "MAX_IDLE_GROUPS", 10)
    house = House(1_000)
    for number in range(100):
        house.come(request("a", "w", str(number), (Concurrency(1, key=KEY),)))
    assert len(house.admission._groups) <= 11  # although their runs are open
    for number in range(100):
        house.come(request("a", "w", str(number), (Concurrency(1, key=KEY),)))
        house.rest(0)
        house.end(0)
    house.check()
    house.drain()


def test_a_lane_is_counted_once_however_many_come_at_once():
    house = House(10)
    wanted = request("a", "w", "1", (Concurrency(1, key=KEY), Concurrency(5)))

    async def storm() -> None:
        await asyncio.gather(*(house.admission.prepare([wanted]) for _ in range(50)))

    asyncio.run(storm())
    assert len(house.counts) == 2
