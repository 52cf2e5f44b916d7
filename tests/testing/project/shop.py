"""Workflows of somebody who has InfraWeave installed."""

from __future__ import annotations

import attrs

from infraweave import Context, NonRetryable, Retry, Workflow


@attrs.frozen
class Order:
    order_id: str
    total: float = 10.0


checkout = Workflow("checkout", version="v1", input=Order)


@checkout.node
async def reserve(input: Order) -> dict:
    return {"reserved": input.order_id}


@reserve.compensate
async def release(reserve: dict) -> None:
    raise ConnectionError("no test reaches the warehouse")


@checkout.human_input(schema={"type": "object", "required": ["approved"]}, timeout="48h")
def approval(input: Order) -> str:
    return f"Pay {input.total}?"


@checkout.node(retry=Retry(max_attempts=5, initial=4.0, jitter=False), timeout="30s")
async def charge(reserve: dict, approval: dict, input: Order, ctx: Context) -> dict:
    if not approval["approved"]:
        raise NonRetryable("refused")
    return {"paid": input.total, "attempt": ctx.attempt}


invoice = Workflow("invoice", version="v1")


@invoice.node
def number(input: dict) -> str:
    return f"inv-{input['order']}"


bundle = Workflow("bundle", version="v1")


@bundle.node
def orders(input: dict) -> list[str]:
    return input["orders"]


@bundle.map(over="orders")
async def pack(order: str) -> str:
    return order.upper()


@bundle.subworkflow(invoice)
def bill(pack: list[str]) -> dict:
    return {"order": "+".join(pack)}


essay = Workflow("essay", version="v1")


@essay.node
async def draft(critique: str = "") -> str:
    return f"draft ({critique})"


@essay.node
async def critique(draft: str) -> str:
    return "longer"


@essay.repeat(back_to=draft, max_iterations=5)
def again(critique: str) -> bool:
    return critique != "good"


essay.output("draft")

nightly = Workflow("nightly", version="v1")
nightly.schedule("backup", cron="30 2 * * *", timezone="Europe/Berlin", catch_up="all", overlap="queue")


@nightly.node
async def backup(input: dict) -> str:
    return "done"


patient = Workflow("patient", version="v1")
patient.sleep("three_days", "72h")


@patient.node(after=["three_days"])
async def remind(input: dict) -> str:
    return f"remember {input['what']}"
