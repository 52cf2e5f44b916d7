"""The workflows that the bench serves over HTTP."""

import time

from infraweave import Workflow

OUTPUT: dict[str, object] = {"status": 200, "bytes": 18234, "note": "x" * 150}


def of_three(name: str, output: object = OUTPUT) -> Workflow:
    """Return a workflow of three no-op nodes, one after the other."""
    flow = Workflow(name, version="v1")

    @flow.node
    async def first() -> object:
        return output

    @flow.node
    async def second(first: object) -> object:
        return output

    @flow.node
    async def third(second: object) -> object:
        return output

    return flow


three, later, small = of_three("three"), of_three("later"), of_three("small", {"ok": True})

# --- runs that wait -----------------------------------------------------------------------------------------

waiting = Workflow("waiting", version="v1")
waiting.signal("go", schema={"type": "object"})

sleeping = Workflow("sleeping", version="v1")
sleeping.sleep("nap", "365d")

#: Waits for one signal after the other, so that readers of its events have something to read in each round.
watched = Workflow("watched", version="v1")
for place in range(20):
    watched.signal(f"s{place}", schema={"type": "object"}, after=[f"s{place - 1}"] if place else [])

# --- a neighbour, and those who live beside it -------------------------------------------------------------

threaded = Workflow("threaded", version="v1")


@threaded.node
def in_a_thread() -> dict[str, object]:
    return OUTPUT


blocking = Workflow("blocking", version="v1")


@blocking.node(retry=None)
def blocks_its_thread() -> None:
    time.sleep(0.5)


flooding = Workflow("flooding", version="v1")


@flooding.node
async def floods() -> str:
    return "x" * 1_000_000
