"""WCP-37 Local Synchronizing Merge: branches converge that a multi-choice may or may not have taken, in a
graph that need not be balanced; the merge waits for exactly those that are active.

In the graph: directly. What is not taken is settled as skipped at once, and so is all that depended on it
alone: at any node it is known what will still come.
"""

from __future__ import annotations

import pytest

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines


def trip(hands) -> Workflow:
    flow = Workflow("trip", version="v1")

    @flow.router(routes=["flight", "hotel", "car"])
    def wanted(input: dict) -> list[str]:
        return input["wanted"]

    @flow.node
    async def flight() -> str:
        return await hands.work("flight")

    @flow.node
    async def hotel() -> str:
        return await hands.work("hotel")

    @flow.node
    async def car() -> str:
        return await hands.work("car")

    @flow.router(routes=["seat"])
    def upgrade(flight: str, input: dict) -> list[str]:
        return ["seat"] if input.get("seat") else []

    @flow.node
    async def seat() -> str:
        return await hands.work("seat")

    @flow.node  # merges two of the branches, at another depth than the third joins
    async def stay(hotel: str | None = None, car: str | None = None) -> str:
        return "stay"

    @flow.node
    async def pay(flight: str | None = None, seat: str | None = None, stay: str | None = None) -> list:
        return [flight, seat, stay]

    return flow


async def test_the_merge_waits_for_a_branch_within_a_branch(world, hands):
    async with begun(world, trip(hands), value={"wanted": ["flight", "car"], "seat": True}) as (w, run):
        await hands.finish(w, run, "car")
        await w.until(run, "node_completed", node="stay")
        await hands.finish(w, run, "flight")
        await hands.finish(w, run, "seat")
        assert await ended(w, run) == lines("""
            node_started wanted
            node_completed wanted → flight car (skips hotel)
            node_started flight
            node_started car
            node_completed car
            node_started stay
            node_completed stay
            node_completed flight
            node_started upgrade
            node_completed upgrade → seat
            node_started seat
            node_completed seat
            node_started pay
            node_completed pay
            completed
        """)


async def test_the_merge_does_not_wait_for_what_was_not_taken(world, hands):
    async with begun(world, trip(hands), value={"wanted": ["flight"]}) as (w, run):
        await hands.finish(w, run, "flight")
        assert await ended(w, run) == lines("""
            node_started wanted
            node_completed wanted → flight (skips hotel car stay)
            node_started flight
            node_completed flight
            node_started upgrade
            node_completed upgrade → nothing (skips seat)
            node_started pay
            node_completed pay
            completed
        """)


@pytest.mark.parametrize(
    ("wanted", "result"),
    [
        (["hotel"], [None, None, "stay"]),
        (["hotel", "car"], [None, None, "stay"]),
        (["flight", "hotel", "car"], ["flight", None, "stay"]),
        ([], None),
    ],
)
async def test_each_choice_is_merged_once(world, hands, wanted, result):
    async with begun(world, trip(hands), value={"wanted": wanted}) as (w, run):
        for task in wanted:
            hands.let(task)
        assert (await w.end(run)).get("result") == result
        assert (await ended(w, run)).count("node_started pay") == (1 if wanted else 0)
