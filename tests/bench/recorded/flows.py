"""The workflows of the recorded server, one of each shape. Their runs have the same events each time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from attrs import frozen

from infraweave import Concurrency, Context, NonRetryable, Retry, Workflow

HERE = Path(__file__).parent
ONCE = Retry(max_attempts=2, initial=0.01, jitter=False)


async def opened(gate: str) -> None:
    """Wait for the file that lets bodies go on."""
    while not (HERE / gate).exists():
        await asyncio.sleep(0.01)


@frozen
class Order:
    amount: int
    note: str = "none"


@frozen
class Decision:
    approved: bool
    comment: str | None = None


chain = Workflow("chain", version="v1", input=Order)


@chain.node
async def first(input: Order, ctx: Context) -> dict[str, Any]:
    ctx.report(tokens=12, cost_micro_usd=34, model="small")
    return {"amount": input.amount, "note": input.note}


@chain.node(kind="tool")
def second(first: dict[str, Any]) -> dict[str, Any]:
    return {**first, "text": 'Grüße, "quoted" \\ <&> \u2028 €'}


@chain.node
async def third(second: dict[str, Any]) -> list[Any]:
    return [second, None, True, 1.5, -0.0, 10**15]


fan = Workflow("fan", version="v1.0-rc.1")


@fan.node
async def split() -> int:
    return 3


async def branch(split: int) -> int:
    return split


for letter in "abc":
    fan.node(name=f"branch_{letter}")(branch)


@fan.node
async def joined(branch_a: int, branch_b: int, branch_c: int) -> int:
    return branch_a + branch_b + branch_c


shaky = Workflow("shaky", version="v1")


@shaky.node(retry=ONCE)
async def tries(ctx: Context) -> int:
    if ctx.attempt == 1:
        raise ValueError("not yet")
    return ctx.attempt


saga = Workflow("saga", version="v1", input=Order)


@saga.node
async def reserve(input: Order) -> str:
    return "reserved"


@reserve.compensate
async def release(reserve: str) -> None:
    return None


@saga.node(retry=ONCE)
async def pay(reserve: str, input: Order) -> str:
    raise NonRetryable(f"the card has no {input.amount}")


routed = Workflow("routed", version="v1", input=Order)


@routed.router(routes=["small", "large"])
def way(input: Order) -> str:
    return "small" if input.amount < 100 else "large"


@routed.node
async def small(way: object = None) -> str:
    return "small"


@routed.node
async def large(way: object = None) -> str:
    return "large"


looped = Workflow("looped", version="v1")


@looped.node
async def draft(critic: int | None = None) -> int:
    return (critic or 0) + 1


@looped.node
async def critic(draft: int) -> int:
    return draft


@looped.repeat(back_to=draft, max_iterations=4)
def again(critic: int) -> bool:
    return critic < 3


mapped = Workflow("mapped", version="v1")


@mapped.node(retry=ONCE)
async def items(input: dict[str, Any]) -> list[int]:
    return list(range(int(input.get("count", 4))))


@mapped.map(over="items", max_concurrency=1, max_failures=1, retry=ONCE)
async def squared(item: int, ctx: Context) -> int:
    if item == 1:
        raise NonRetryable("one is not squared")
    return item * item


parent = Workflow("parent", version="v1")


@parent.subworkflow("chain")
def child(input: dict[str, Any]) -> dict[str, Any]:
    return {"amount": 5}


@parent.node
async def after_child(child: list[Any]) -> int:
    return len(child)


asking = Workflow("asking", version="v1", input=Order)


@asking.node
async def prepare(input: Order) -> int:
    return input.amount


@prepare.compensate
async def undo(prepare: int) -> None:
    await opened("undo")


@asking.human_input(schema=Decision, timeout="48h")
def approval(prepare: int) -> dict[str, Any]:
    return {"prompt": f"Approve {prepare}?", "data": {"amount": prepare}}


@asking.node
async def finish(approval: Decision) -> str:
    return "yes" if approval.approved else "no"


timed = Workflow("timed", version="v1")
timed.sleep("nap", 0.02)
timed.sleep("night", "24h", after=["nap"])

mail = Workflow("mail", version="v1")
mail.signal("letter", schema={"type": "object", "required": ["text"]})
mail.signal("parcel", after=["letter"])

late = Workflow("late", version="v1")
late.human_input("soon", prompt="Quick?", schema={"type": "boolean"}, timeout=0.02)

race = Workflow("race", version="v1")
race.signal("never")


@race.node
async def quick() -> str:
    return "quick"


@race.node(join="any")
async def winner(never: Any = None, quick: str | None = None) -> str:
    return quick or "signal"


held = Workflow("held", version="v1", concurrency=Concurrency(1, key="{input.who}"))


@held.node
async def holds(input: dict[str, Any]) -> str:
    await opened(str(input["who"]))
    return "held"


full = Workflow("full", version="v1", concurrency=Concurrency(1, when_full="reject"))


@full.node
async def fills() -> None:
    await opened("full")


fired = Workflow("fired", version="v1")
fired.schedule("yearly", cron="0 0 1 6 *", timezone="Europe/Zurich", input={"at": "{scheduled_at}"})
fired.webhook("pushed", secret_env="RECORDED_SECRET", input="{body}")


@fired.node
async def lands(input: dict[str, Any]) -> bool:
    return "at" in input


gone = Workflow("gone", version="v1")


@gone.node(timeout=0.02, retry=None)
async def hangs() -> None:
    await asyncio.sleep(60)


wrong = Workflow("wrong", version="v1")


@wrong.node(retry=None)
async def says_a_number() -> int:
    return "no number"  # type: ignore[return-value]


old = Workflow("versioned", version="v1")


@old.node
async def only() -> int:
    return 1
