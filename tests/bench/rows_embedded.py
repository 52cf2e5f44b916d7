"""Rows of the engine in the caller's process, without HTTP, beside a bare loop."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.bench.child import Child, Tree, child
from tests.bench.results import Measured, Round, Row
from tests.bench.scale import Scale

LOOP = "bare asyncio loop, same durable writes"


def rows(scale: Scale) -> list[Row]:
    return [row for row, _, _ in _plan(scale)]


def _plan(scale: Scale) -> list[tuple[Row, str, dict[str, Any]]]:
    """Return each row, the command that measures a round of it, and the options of the command."""
    many = [
        (
            Row(
                f"inflight-{inflight}",
                f"embedded, {inflight:,} runs of 3 nodes in flight",
                "runs/s",
                True,
                LOOP,
            ),
            "in_flight",
            {"inflight": inflight, "seconds": scale.seconds},
        )
        for inflight in scale.inflight
    ]
    client = Row(
        "client", f"the same through `embed`'s client, {scale.inflight[0]} in flight", "runs/s", True, LOOP
    )
    fans = [
        (
            Row(f"fan-out-{nodes}", f"one run that fans out to {nodes:,} nodes", "nodes/s", True, LOOP),
            "fan_out",
            {"nodes": nodes, "seconds": scale.seconds},
        )
        for nodes in scale.fan_out
    ]
    chained = Row("chain", f"one run, a chain of {scale.chain}", "ms/node", False, LOOP)
    mapped = Row("map", f"one map over {scale.map_items:,} items", "items/s", True, LOOP)
    return [
        *many,
        (client, "client", {"inflight": scale.inflight[0], "seconds": scale.seconds}),
        (Row("alone", "one run of 3 nodes alone", "ms", False, LOOP), "alone", {"times": scale.alone}),
        (chained, "chain", {"nodes": scale.chain}),
        *fans,
        (mapped, "map", {"items": scale.map_items}),
    ]


async def measure(
    trees: Sequence[Tree], names: Collection[str], scale: Scale, folder: Path
) -> list[Measured]:
    """Measure the chosen rows; the sides of a row take turns in each round."""
    async with AsyncExitStack() as stack:
        loop = await stack.enter_async_context(
            child(trees[0], "-m", "tests.bench.loop_side", str(folder / "loop.db"))
        )
        engines = {
            tree.label: await stack.enter_async_context(
                child(tree, "-m", "tests.bench.engine_side", str(folder / f"{tree.label}.db"), _sizes(scale))
            )
            for tree in trees
        }
        return [
            await _row(*planned, loop, engines, 1 if planned[0].name == "map" else scale.rounds)
            for planned in _plan(scale)
            if planned[0].name in names
        ]


def _sizes(scale: Scale) -> str:
    return json.dumps({"chain": scale.chain, "fan_out": scale.fan_out, "map_items": scale.map_items})


async def _row(
    row: Row, command: str, options: dict[str, Any], loop: Child, engines: dict[str, Child], rounds: int
) -> Measured:
    measured = Measured(row, trees={label: [] for label in engines})
    for _ in range(rounds):
        measured.yardstick.append(Round(**await loop.ask(command, **options)))
        for label, engine in engines.items():
            took = Round(**await engine.ask(command, **options))
            measured.trees[label].append(took)
    return measured
