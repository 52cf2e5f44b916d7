"""Our side of the embedded rows.

In a process of its own: ``python -m tests.bench.engine_side FILE SIZES``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import infraweave
from infraweave.engine import garbage_collector
from infraweave.settings import Settings
from tests.bench import load, run
from tests.bench.child import answer


async def main(db: Path, chain: int, fan_out: list[int], map_items: int) -> None:
    flows = [
        run.chain("three", 3),
        run.chain("small", 3, run.small),
        run.chain("chain", chain),
        run.mapped(map_items),
    ]
    flows += [run.fan_out(width) for width in fan_out]
    # As many as run at once with a default of 1,000 in flight, and enough room to start the next ones.
    settings = Settings(max_running=2_000, requests_per_second=1e9, request_burst=2**31)
    async with infraweave.embed(*flows, db=db, settings=settings) as embedded:
        engine = embedded.engine
        three = partial(run.one, engine, "three")

        async def through_the_client() -> None:
            await (await embedded.start("three")).result()

        async def in_flight(inflight: int, seconds: float, workflow_id: str = "three") -> dict[str, Any]:
            return await load.in_flight(partial(run.one, engine, workflow_id), inflight, seconds)

        async def client(inflight: int, seconds: float) -> dict[str, Any]:
            return await load.in_flight(through_the_client, inflight, seconds)

        async def alone(times: int) -> dict[str, Any]:
            return await load.one_by_one(three, times)

        async def chained(nodes: int) -> dict[str, Any]:
            return await load.one_by_one(partial(run.one, engine, "chain"), 1, nodes)

        async def fanned_out(nodes: int, seconds: float) -> dict[str, Any]:
            return await load.units_per_second(partial(run.one, engine, f"fan-{nodes}"), nodes, seconds)

        async def mapped(items: int) -> dict[str, Any]:
            return await load.units_per_second(partial(run.one, engine, f"map-{items}"), items, 0)

        await three()
        garbage_collector.tune()  # as `infraweave serve` does
        await answer(
            {
                "in_flight": in_flight,
                "client": client,
                "alone": alone,
                "chain": chained,
                "fan_out": fanned_out,
                "map": mapped,
            }
        )


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), **json.loads(sys.argv[2])))
