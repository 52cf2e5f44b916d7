"""Limits of workflows and of keys: counted from start to end, in order, over restarts."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from infraweave import Concurrency, Workflow
from infraweave.engine.runs.queued_runs import QueuedRuns
from infraweave.errors import Capacity, InputInvalid
from infraweave.store.runs import RunFilters

PER_CUSTOMER = Concurrency(1, key="{input.customer_id}")


def asking(concurrency=(), version: str = "v1", name: str = "orders") -> Workflow:
    """A workflow whose runs wait for a person: they end when the story says so."""
    flow = Workflow(name, version=version, concurrency=concurrency)
    flow.human_input("approval", prompt="?", schema={})
    return flow


def of(customer: str) -> dict:
    return {"customer_id": customer}


async def answer(w, run) -> None:
    await w.until(run, "input_requested")
    await w.engine.service.signal(run, "approval", None, 1, by="eve")
    await w.end(run)


async def state(w, run) -> str:
    return (await w.engine.runs.get(run.run_id)).state


async def settled(w) -> None:
    """Let everything follow that follows by itself."""
    await w.clock.advance(0)


# --- one limit ---------------------------------------------------------------------------------------------


async def test_a_run_counts_while_it_waits_for_a_person_and_the_next_starts_when_it_has_ended(world):
    async with world(asking(1)) as w:
        first, second, third = [await w.start("orders") for _ in range(3)]
        assert [run.state for run in (first, second, third)] == ["running", "queued", "queued"]
        await w.until(first, "input_requested")
        await settled(w)
        assert w.engine.slots.used == 0
        assert await state(w, second) == "queued"
        for run in (first, second, third):
            await answer(w, run)


async def test_a_number_is_a_limit_and_other_workflows_do_not_wait(world):
    async with world(asking(2), asking(name="free")) as w:
        assert [(await w.start("orders")).state for _ in range(3)] == ["running", "running", "queued"]
        assert [(await w.start("free")).state for _ in range(3)] == ["running"] * 3


async def test_each_key_has_a_lane_of_its_own_in_order_and_a_full_one_holds_up_no_other(world):
    async with world(asking(PER_CUSTOMER)) as w:
        ada = [await w.start("orders", of("ada")) for _ in range(50)]
        bob = await w.start("orders", of("bob"))
        assert [run.state for run in (*ada[:2], bob)] == ["running", "queued", "running"]
        reason = "orders may have 1 run open at once for {input.customer_id} = ada, and others came before"
        assert [w.engine.admission.reason(run.run_key) for run in (ada[1], bob)] == [reason, None]
        for place in range(3):
            await answer(w, ada[place])
            await w.until(ada[place + 1], "input_requested")
            assert [await state(w, run) for run in ada[place + 2 : place + 4]] == ["queued"] * 2


async def test_a_limit_that_refuses_names_the_workflow_and_the_key(world):
    limit = Concurrency(1, key="{input.customer_id}", when_full="reject")
    async with world(asking(limit)) as w:
        first = await w.start("orders", of("ada"))
        with pytest.raises(Capacity, match=r"orders .* \{input\.customer_id\} = ada") as refused:
            await w.start("orders", of("ada"))
        assert refused.value.headers["Retry-After"] == "5"
        assert (await w.start("orders", of("bob"))).state == "running"
        await answer(w, first)
        assert (await w.start("orders", of("ada"))).state == "running"
        assert len(await w.engine.runs.list("default")) == 3


async def test_an_input_without_the_key_is_refused(world):
    async with world(asking(PER_CUSTOMER)) as w:
        with pytest.raises(InputInvalid, match="leads nowhere: there is no customer_id"):
            await w.start("orders", {})
        assert await w.engine.runs.list("default") == []


async def test_a_workflow_limit_and_a_keyed_one_hold_both(world):
    async with world(asking([3, PER_CUSTOMER])) as w:
        runs = {name: [await w.start("orders", of(name)) for _ in range(3)] for name in "abcd"}
        started = Counter(run.state for several in runs.values() for run in several)
        assert started == {"running": 3, "queued": 9}
        assert [several[0].state for several in runs.values()] == ["running"] * 3 + ["queued"]
        await answer(w, runs["a"][0])  # d was before the second of a in the workflow's line
        await w.until(runs["d"][0], "input_requested")
        assert await state(w, runs["a"][1]) == "queued"
        for round_ in range(3):
            for name in "bcda" if round_ == 0 else "abcd":
                if (name, round_) != ("a", 0):
                    await answer(w, runs[name][round_])
        await settled(w)
        assert w.engine.admission.queued == 0


async def test_tenants_do_not_share_a_lane(world):
    async with world(asking([1, PER_CUSTOMER])) as w:
        for tenant in ("default", "other"):
            assert (await w.start("orders", of("ada"), tenant=tenant)).state == "running"
            assert (await w.start("orders", of("ada"), tenant=tenant)).state == "queued"


# --- cancel ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [1, 2, 3])
async def test_a_queued_run_that_is_cancelled_frees_its_place(world, place):
    async with world(asking([2, PER_CUSTOMER]), max_running=1000) as w:
        runs = [await w.start("orders", of("ada")) for _ in range(4)]
        await w.engine.service.cancel(runs[place], by="eve")
        assert (await w.end(runs[place]))["type"] == "cancelled"
        for run in (run for run in runs if run is not runs[place]):
            await answer(w, run)
        assert w.engine.admission.queued == 0


async def test_a_run_that_waits_for_the_workflow_gives_its_keys_place_back_when_cancelled(world):
    async with world(asking([1, PER_CUSTOMER])) as w:
        first = await w.start("orders", of("ada"))
        ahead, behind = [await w.start("orders", of("bob")) for _ in range(2)]
        await w.engine.service.terminate(ahead, by="eve")
        await answer(w, first)
        await answer(w, behind)


async def test_a_run_that_fails_or_is_terminated_gives_its_place_back(world):
    flow = Workflow("failing", version="v1", concurrency=1)

    @flow.node(retry=None)
    async def fail() -> None:
        raise ValueError("no")

    async with world(flow, asking(1)) as w:
        runs = [await w.start("failing") for _ in range(5)]
        assert [(await w.end(run))["type"] for run in runs] == ["failed"] * 5
        first, second = [await w.start("orders") for _ in range(2)]
        await w.engine.service.terminate(first, by="eve")
        await w.until(second, "input_requested")


# --- restarts and versions ---------------------------------------------------------------------------------


async def test_limits_hold_over_a_restart(world):
    limits = [3, PER_CUSTOMER]
    async with world(asking(limits)) as w:
        runs = {name: [await w.start("orders", of(name)) for _ in range(3)] for name in "ab"}
        await w.until(runs["a"][0], "input_requested")
        await w.until(runs["b"][0], "input_requested")
    async with world(asking(limits)) as w:
        assert (await w.start("orders", of("a"))).state == "queued"
        assert (await w.start("orders", of("c"))).state == "running"
        last = await w.start("orders", of("d"))
        assert last.state == "queued"
        await answer(w, runs["a"][0])
        await w.until(last, "input_requested")
        assert await state(w, runs["a"][1]) == "queued"
        for run in (last, runs["a"][1], runs["b"][0], runs["b"][1], runs["b"][2], runs["a"][2]):
            await answer(w, run)


async def test_runs_of_all_versions_count_and_each_is_held_to_its_own_limit(world):
    async with world(asking()) as w:
        free = [await w.start("orders") for _ in range(3)]
    async with world(asking(2, "v2")) as w:
        held = await w.start("orders")
        assert (held.workflow_version, held.state) == ("v2", "queued")
        assert (await w.start("orders", workflow_version="v1")).state == "running"
        for run in free[:2]:
            await answer(w, run)
        await settled(w)
        assert await state(w, held) == "queued"  # two of the first version are open
        await answer(w, free[2])
        await answer(w, held)


async def test_a_run_in_line_before_a_wider_limit_keeps_its_turn(world):
    async with world(asking(1), asking(5, "v2")) as w:
        first, narrow = [await w.start("orders", workflow_version="v1") for _ in range(2)]
        wide = await w.start("orders", workflow_version="v2")
        assert (narrow.state, wide.state) == ("queued", "queued")
        await w.engine.service.cancel(narrow, by="eve")
        await w.until(wide, "input_requested")
        await answer(w, first)


async def test_a_limit_counts_right_while_starts_and_ends_are_on_their_way_to_the_disk(world):
    """The first limited start counts what others have begun and not yet stored."""
    flow = Workflow("orders", version="v1")

    @flow.node
    async def work() -> int:
        return 1

    async with world(flow, asking(1, "v2")) as w:
        ended = [await w.start("orders", workflow_version="v1") for _ in range(20)]
        begun = [asyncio.create_task(w.start("orders", workflow_version="v1")) for _ in range(20)]
        await asyncio.sleep(0)
        limited = await w.start("orders")
        for run in [*ended, *[await task for task in begun]]:
            await w.end(run)
        await w.until(limited, "input_requested")
        group = w.engine.admission._groups["default", "orders", None]
        assert (group.open, group.reserved, group.pending) == (1, 0, 0)


# --- the queue ---------------------------------------------------------------------------------------------


async def test_with_several_tenants_none_can_fill_the_whole_queue(world):
    async with world(asking(), max_running=0, max_queued=8) as w:
        await w.engine.catalog.publish_loaded("few")
        assert [(await w.start("orders", tenant="many")).state for _ in range(4)] == ["queued"] * 4
        with pytest.raises(Capacity, match="4 runs in the queue, its share"):
            await w.start("orders", tenant="many")
        assert [(await w.start("orders", tenant="few")).state for _ in range(2)] == ["queued"] * 2
        assert (await w.start("orders", tenant="third")).state == "queued"


async def test_runs_in_lanes_count_for_the_queue(world):
    async with world(asking(1), max_queued=2) as w:
        runs = [await w.start("orders") for _ in range(3)]
        with pytest.raises(Capacity):
            await w.start("orders")
        await w.engine.service.cancel(runs[1], by="eve")
        assert (await w.start("orders")).state == "queued"


def busy(order: list[str]) -> Workflow:
    flow = Workflow("busy", version="v1")

    @flow.node
    async def work(input: dict) -> None:
        order.append(input["tenant"])

    return flow


def is_fair(order: list[str], tenants: int, each: int) -> bool:
    """Whether every tenant had its turn in each round."""
    rounds = [order[start : start + tenants] for start in range(0, tenants * each, tenants)]
    return all(len(set(turn)) == tenants for turn in rounds)


async def test_many_tenants_take_turns_however_unequal_their_queues(world):
    order: list[str] = []
    async with world(busy(order), asking(), max_running=1) as w:
        await w.engine.catalog.publish_loaded("hog")
        names = ["hog", *(f"t{number}" for number in range(19))]
        runs = [await w.start("busy", {"tenant": "hog"}, tenant="hog") for _ in range(1)]
        order_of_asking = ["hog"] * 100 + [name for name in names[1:] for _ in range(5)]
        starts = [w.start("busy", {"tenant": name}, tenant=name) for name in order_of_asking]
        runs += await asyncio.gather(*starts)
        for run in runs:
            await w.end(run)
        last_of_others = max(place for place, name in enumerate(order) if name != "hog")
        assert Counter(order)["hog"] == 101
        assert Counter(order[: last_of_others + 1])["hog"] < 20
        assert (w.engine.admission.queued, w.engine.admission._pending) == (0, {})


async def test_a_recovered_queue_is_fair_from_its_first_slot_on(world):
    order: list[str] = []
    async with world(busy(order), max_running=0) as w:
        runs = [await w.start("busy", {"tenant": name}, tenant=name) for name in "abcd" for _ in range(10)]
    async with world(busy(order), max_running=1) as w:
        for run in runs:
            await w.end(run)
    assert is_fair(order, tenants=4, each=10)


async def test_who_cancelled_much_loses_no_turn(world):
    order: list[str] = []
    async with world(busy(order), max_running=0) as w:
        gone = [await w.start("busy", {"tenant": "a"}, tenant="a") for _ in range(5)]
        kept = [await w.start("busy", {"tenant": name}, tenant=name) for name in "abc" for _ in range(3)]
        for run in gone:
            await w.engine.service.cancel(run, by="eve")
        w.engine.slots.limit = 1
        w.engine.slots.fill()
        for run in kept:
            await w.end(run)
    assert is_fair(order, tenants=3, each=3)


# --- children ----------------------------------------------------------------------------------------------


def parent_of(name: str, many: int) -> Workflow:
    flow = Workflow("parent", version="v1")

    @flow.node
    def cases() -> list[dict]:
        return [{"customer_id": f"c{number % 2}"} for number in range(many)]

    @flow.map(over="cases", subworkflow=name)
    def child(case: dict) -> dict:
        return case

    return flow


async def test_children_are_held_to_the_limits_of_their_workflow_and_never_refused(world):
    limit = Concurrency(1, key="{input.customer_id}", when_full="reject")
    async with world(asking([limit, 5]), parent_of("orders", 6)) as w:
        run = await w.start("parent")
        ended = set()
        while len(ended) < 6:
            rows = [row for row in await w.engine.runs.list("default") if row.parent_run_id == run.run_id]
            running = [row for row in rows if row.state == "running"]
            assert len({row.lane for row in running}) == len(running) <= 2
            for row in running:
                await answer(w, row)
                ended.add(row.run_id)
            await settled(w)
        assert (await w.end(run))["type"] == "completed"
        await settled(w)
        assert (w.engine.admission.queued, w.engine.admission._pending) == (0, {})


async def test_a_queued_child_of_a_cancelled_parent_frees_its_place(world):
    async with world(asking(1), parent_of("orders", 3)) as w:
        run = await w.start("parent")
        while len(await w.engine.runs.list("default")) < 4:
            await settled(w)
        await w.engine.service.cancel(run, by="eve")
        assert (await w.end(run))["type"] == "cancelled"
        await settled(w)
        assert w.engine.admission.queued == 0
        assert (await w.start("orders")).state == "running"


async def test_a_child_without_the_key_fails_its_node(world):
    flow = Workflow("parent", version="v1")

    @flow.subworkflow("orders")
    def child() -> dict:
        return {}

    async with world(asking(PER_CUSTOMER), flow) as w:
        end = await w.end(await w.start("parent"))
        assert (end["type"], end["error"]["code"]) == ("failed", "input_invalid")
        assert "there is no customer_id" in end["error"]["message"]


# --- children below a run of the same lane -----------------------------------------------------------------


def below(name: str, child: str, concurrency=()) -> Workflow:
    """A workflow whose run starts ``child`` with one less, until nothing is left, and waits for it."""
    flow = Workflow(name, version="v1", concurrency=concurrency)

    @flow.router(routes=["child", "approval"])
    def left(input: dict) -> str:
        return "child" if input["left"] else "approval"

    @flow.subworkflow(child)
    def child(input: dict) -> dict:
        return {**input, "left": input["left"] - 1}

    flow.human_input("approval", prompt="?", schema={})
    return flow


def deep(left: int, **more) -> dict:
    return {"left": left, **more}


async def lowest(w, workflow: str):
    """The newest run of a workflow, once it asks."""
    async with asyncio.timeout(5):
        while True:
            for row in (await w.engine.runs.list("default", RunFilters(workflow_id=workflow)))[:1]:
                if any(event["type"] == "input_requested" for event in await w.events(row)):
                    return row
            await settled(w)


@pytest.mark.parametrize("limit", [Concurrency(1), PER_CUSTOMER, Concurrency(2)])
async def test_a_workflow_with_a_limit_may_start_itself(world, limit):
    async with world(below("nest", "nest", limit)) as w:
        run = await w.start("nest", deep(4, customer_id="ada"))
        await answer(w, await lowest(w, "nest"))
        assert (await w.end(run))["type"] == "completed"


async def test_two_workflows_with_limits_may_start_each_other_in_one_family(world):
    async with world(below("ping", "pong", 1), below("pong", "ping", 1)) as w:
        run = await w.start("ping", deep(5))
        await answer(w, await lowest(w, "pong"))
        assert (await w.end(run))["type"] == "completed"


async def test_those_below_count_and_others_wait_until_all_of_them_have_ended(world):
    async with world(below("nest", "nest", 2)) as w:
        run = await w.start("nest", deep(2))
        last = await lowest(w, "nest")
        other = await w.start("nest", deep(0))
        assert other.state == "queued"
        await answer(w, last)
        await w.end(run)
        await answer(w, other)
        await settled(w)
        assert (w.engine.admission.queued, w.engine.admission._pending) == (0, {})


async def test_another_key_below_a_run_waits_for_its_own_lane(world):
    flow = Workflow("nest", version="v1", concurrency=PER_CUSTOMER)

    @flow.router(routes=["child", "approval"])
    def left(input: dict) -> str:
        return "child" if "below" in input else "approval"

    @flow.subworkflow("nest")
    def child(input: dict) -> dict:
        return of(input["below"])

    flow.human_input("approval", prompt="?", schema={})
    async with world(flow) as w:
        bob = await w.start("nest", of("bob"))
        ada = await w.start("nest", {**of("ada"), "below": "bob"})
        await w.until(ada, "node_started", node="child")
        await settled(w)
        queued = (await w.engine.runs.list("default", RunFilters(workflow_id="nest")))[0]
        assert (queued.parent_run_id, queued.state) == (ada.run_id, "queued")
        await answer(w, bob)
        await answer(w, queued)
        assert (await w.end(ada))["type"] == "completed"


async def test_a_child_that_was_queued_passes_its_familys_lane_after_a_restart_too(world, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(QueuedRuns, "grant", lambda *_: None)
        async with world(below("nest", "nest", 1)) as w:
            run = await w.start("nest", deep(1))
            await w.until(run, "node_started", node="child")
            await settled(w)
            (child, _) = await w.engine.runs.list("default")
            assert child.state == "queued"
    async with world(below("nest", "nest", 1)) as w:
        await answer(w, child)
        assert (await w.end(run))["type"] == "completed"


def choosing(schema) -> Workflow:
    flow = Workflow("checked", version="v1", input={"type": "object", "properties": {"rows": schema}})

    @flow.node
    async def only(input):
        return 1

    return flow


async def test_a_check_that_takes_long_holds_nobody_up(world):
    """The same check takes three seconds where it is made directly."""
    rows = [6.5] * 3_000
    schema = {"items": {"anyOf": [*({"multipleOf": n + 7} for n in range(3_000)), {"maximum": 100}]}}
    async with world(choosing(schema)) as w, asyncio.timeout(50):
        began = time.thread_time()
        await w.end(await w.start("checked", {"rows": rows}))
        with pytest.raises(InputInvalid, match="does not fit the schema"):
            await w.start("checked", {"rows": [1000.5, *rows]})
        assert time.thread_time() - began < 1.5
