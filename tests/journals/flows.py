"""The workflows whose histories are kept. Add to them; what is here is what stored runs refer to."""

from __future__ import annotations

import asyncio

from infraweave import Concurrency, Context, NonRetryable, Retry, Workflow

ANY = {"type": "object"}


def checkout() -> Workflow:
    """Activity, router, a person, a compensation."""
    flow = Workflow("checkout", version="v1", input=ANY)

    @flow.node
    def reserve(input: dict, ctx: Context) -> dict:
        ctx.report(tokens=12, cost_micro_usd=340, model="small")
        return {"total": input["total"]}

    @reserve.compensate
    def release(reserve: dict) -> None: ...

    @flow.router(routes=["approval", "small"])
    def triage(reserve: dict) -> str:
        return "approval" if reserve["total"] > 100 else "small"

    @flow.node
    def small(reserve: dict) -> dict:
        return {"ok": True}

    @flow.human_input(schema={"type": "object", "required": ["ok"]}, timeout="48h")
    def approval(reserve: dict) -> str:
        return f"Approve {reserve['total']}?"

    @flow.node(retry=Retry(max_attempts=3, initial=1.0, jitter=False))
    def charge(input: dict, ctx: Context, small: dict | None = None, approval: dict | None = None) -> dict:
        if input.get("card") == "bad":
            raise NonRetryable("The card was declined — für immer")
        if input.get("card") == "shaky" and ctx.attempt < 3:
            raise RuntimeError("The bank does not answer")
        return {"paid": input["total"]}

    return flow


def essay() -> Workflow:
    """A loop with a value carried over, after a map whose items may fail."""
    flow = Workflow("essay", version="v1", input={"type": "array"})

    @flow.map(over="input", max_concurrency=2, max_failures=1)
    def look_up(word: str) -> str:
        if word == "?":
            raise NonRetryable("no such word")
        return word.upper()

    @flow.node
    def draft(look_up: list, review: bool = False) -> str:
        return f"{look_up} {review}"

    @flow.repeat(back_to=draft, max_iterations=3)
    def review(draft: str, ctx: Context) -> bool:
        return "True" not in draft

    return flow


def waiting() -> Workflow:
    """A signal that races a timer, a signal whose time runs out into a value, and a timer to the end."""
    flow = Workflow("waiting", version="v1", input=ANY)
    flow.signal("news", schema=ANY)
    flow.sleep("patience", "1h")

    @flow.node(join="any")
    def react(news: dict | None = None, patience: None = None) -> dict:
        return {"news": news}

    flow.signal("more", schema=ANY, timeout="10s", on_timeout={"none": True}, after=["react"])
    flow.sleep("rest", "24h", after=["more"])
    return flow


def family() -> Workflow:
    """A child for a node."""
    flow = Workflow("family", version="v1", input=ANY)

    @flow.subworkflow("checkout", version="v1")
    def order(input: dict) -> dict:
        return input

    return flow


def lanes() -> Workflow:
    """A limit with a key."""
    flow = Workflow("lanes", version="v1", input=ANY, concurrency=Concurrency(1, key="{input.customer}"))
    flow.signal("done", schema=ANY)
    return flow


def interrupted() -> Workflow:
    """A node that is not to be tried twice, and one that is."""
    flow = Workflow("interrupted", version="v1", input=ANY)

    @flow.node(retry=Retry(max_attempts=2, initial=0, jitter=False))
    async def work(input: dict) -> None:
        if input.get("hang"):
            await asyncio.Event().wait()

    return flow


def call() -> Workflow:
    """A request over HTTP."""
    flow = Workflow("call", version="v1", input=ANY)
    flow.http("fetch", url="{input.url}", retry=Retry(max_attempts=2, initial=1.0, jitter=False))
    return flow


def all_flows() -> list[Workflow]:
    """Return the workflows anew."""
    return [make() for make in (checkout, essay, waiting, family, lanes, interrupted, call)]
