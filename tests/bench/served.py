"""The workflows that the bench serves over HTTP."""

import time

from infraweave import Workflow

OUTPUT: dict[str, object] = {"status": 200, "bytes": 18234, "note": "x" * 150}


def of_three(name: str) -> Workflow:
    """Return a workflow of three no-op nodes, one after the other."""
    flow = Workflow(name, version="v1")

    @flow.node
    async def first() -> dict[str, object]:
        return OUTPUT

    @flow.node
    async def second(first: dict[str, object]) -> dict[str, object]:
        return OUTPUT

    @flow.node
    async def third(second: dict[str, object]) -> dict[str, object]:
        return OUTPUT

    return flow


three, later = of_three("three"), of_three("later")

waiting = Workflow("waiting", version="v1")
waiting.signal("go", schema={"type": "object"})

# --- a neighbour, and those who live beside it -------------------------------------------------------------

threaded = Workflow("threaded", version="v1")


@threaded.node
def in_a_thread() -> dict[str, object]:
    return OUTPUT


blocking = Workflow("blocking", version="v1")


@blocking.node(retry=None)
def blocks_its_thread() -> None:
    time.sleep(0.2)


flooding = Workflow("flooding", version="v1")


@flooding.node
async def floods() -> str:
    return "x" * 1_000_000
