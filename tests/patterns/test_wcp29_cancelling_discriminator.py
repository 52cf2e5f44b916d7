"""WCP-29 Cancelling Discriminator: the first of several branches goes on, and the others are stopped.

In the graph: directly. ``join="any"``: the commit that opens the node withdraws what only led to it.
"""

from __future__ import annotations

import pytest

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines


def quotes(hands) -> Workflow:
    flow = Workflow("quotes", version="v1")

    @flow.node
    async def search() -> str:
        return "trip"

    @flow.node
    async def airline(search: str) -> str:
        return await hands.work("airline")

    @flow.node
    async def agency(search: str) -> str:
        return await hands.work("agency")

    @flow.node
    async def convert(agency: str) -> str:
        return await hands.work("convert")

    @flow.node(join="any")
    async def book(airline: str | None = None, convert: str | None = None) -> str:
        return airline or convert or ""

    return flow


async def test_the_first_goes_on_and_the_rest_of_the_other_branch_is_skipped(world, hands):
    async with begun(world, quotes(hands)) as (w, run):
        await hands.finish(w, run, "airline")
        told = await ended(w, run)
        assert told[:6] == lines("""
            node_started search
            node_completed search
            node_started airline
            node_started agency
            node_completed airline (skips convert)
            node_started book
        """)
        # The body of agency is stopped while book goes on; which of them ends first is open.
        assert sorted(told[6:-1]) == lines("""
            node_completed book
            node_failed agency cancelled
        """)
        assert told[-1] == "completed"


async def test_the_other_way_round(world, hands):
    async with begun(world, quotes(hands)) as (w, run):
        await hands.finish(w, run, "agency")
        await hands.finish(w, run, "convert")
        told = await ended(w, run)
        assert "node_failed airline cancelled" in told
        assert (await w.end(run))["result"] == "convert"


@pytest.mark.parametrize("first", ["airline", "agency"])
async def test_the_node_behind_runs_once(world, hands, first):
    async with begun(world, quotes(hands)) as (w, run):
        hands.let("convert")
        hands.let(first)
        told = await ended(w, run)
        assert told.count("node_started book") == 1
