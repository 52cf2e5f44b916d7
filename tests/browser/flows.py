"""Workflows for the console's tests: what is slow waits for a file named go."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from typing import Any, Literal

from attrs import Factory, frozen

from infraweave import Context, NonRetryable, Retry, Workflow

GO = Path(__file__).parent / "go"


async def gate() -> None:
    while not GO.exists():  # noqa: ASYNC110 - files send no events
        await asyncio.sleep(0.02)


slow = Workflow("slow", version="v1")


@slow.node
async def begin() -> str:
    return "begun"


@slow.node
async def middle(begin: str) -> str:
    await gate()
    return begin


@begin.compensate
async def undo_begin(begin: str) -> None:
    pass


@slow.node
async def finish(middle: str) -> str:
    return middle


faulty = Workflow("faulty", version="v1")


@faulty.node(retry=Retry(max_attempts=3, initial=0.05, jitter=False))
async def fragile(ctx: Context) -> str:
    raise RuntimeError("it broke <b>again</b>")


@faulty.node
async def never(fragile: str) -> str:
    return fragile


patient = Workflow("patient", version="v1")


@patient.node(retry=Retry(max_attempts=5, initial=600, maximum=600, jitter=False))
async def later() -> str:
    raise RuntimeError("not yet")


markup = Workflow("markup", version="v1")
EVIL = '<img src=x onerror="window.hacked = 1"><script>window.hacked = 1</script>'


@markup.node
async def speak() -> dict[str, Any]:
    return {EVIL: EVIL, "list": [EVIL]}


@markup.human_input(
    schema={"type": "object", "title": EVIL, "properties": {"note": {"type": "string", "description": EVIL}}}
)
def ask(speak: dict[str, Any]) -> str:
    return EVIL


@markup.node
async def shout(ask: dict[str, Any]) -> str:
    raise NonRetryable(EVIL)


@frozen
class Address:
    street: str
    zip: str = ""


@frozen
class Claim:
    """A form with a field of each kind."""

    name: str
    amount: float
    count: int
    kind: Literal["travel", "meal"]
    urgent: bool
    address: Address
    lines: list[str] = Factory(list)
    due: dt.date | None = None
    note: str = "none"


claims = Workflow("claims", version="v1")


@claims.human_input(schema=Claim)
def claim() -> str:
    return "What is claimed?"


@claims.node
async def pay(claim: Claim) -> dict[str, Any]:
    return {"paid": claim.amount, "lines": claim.lines, "street": claim.address.street}


turns = Workflow("turns", version="v1")
turns.schedule("yearly", cron="0 0 1 1 *", timezone="Europe/Zurich")
turns.webhook("pushed", secret_env="PUSHED_SECRET", signature_header="X-Hub-Signature-256")


@turns.node
async def draft(draft: int = 0) -> int:
    return draft + 1


@turns.router(routes=["publish", "shelve"])
async def judge(draft: int) -> str:
    return "publish"


@turns.repeat(back_to=draft, max_iterations=3, on_exhausted="continue")
async def again(draft: int) -> bool:
    return draft < 3


@turns.node
async def publish(again: Any = None) -> str:
    return "published"


@turns.node
async def shelve(again: Any = None) -> str:
    return "shelved"


many = Workflow("many", version="v1")


@many.node
async def numbers() -> list[int]:
    return list(range(3000))


@many.map(over=numbers, max_concurrency=200, max_failures=5, retry=None)
async def each(number: int, input: dict) -> int:
    if number == 1234:
        raise NonRetryable("an unlucky number")
    if number == 2999:
        await gate()
    return number


@many.node
async def total(each: list[int | None]) -> int:
    return sum(number or 0 for number in each)


wide = Workflow("wide", version="v1")


def worker(name: str, after: list[str]) -> None:
    async def body() -> None:
        return None

    wide.node(name=name, after=after)(body)


for row in range(20):
    for column in range(25):
        worker(
            f"n{column}_{row}", [f"n{column - 1}_{row}", f"n{column - 1}_{(row + 1) % 20}"] if column else []
        )

ledger = Workflow("ledger", version="v1")


@ledger.node
async def book(input: dict[str, Any]) -> dict[str, Any]:
    return input


@frozen
class Entry:
    account: int
    holder: str
    memo: str = "two\nlines"
    limit: int = 9007199254740993
    rate: float | None = None
    address: Address | None = None
    previous: Entry | None = None


@ledger.human_input(schema=Entry)
def entry(book: dict[str, Any]) -> str:
    return "Which entry?\n\n  1. the first\n  2. the second"


@ledger.node
async def post(entry: Entry) -> Entry:
    return entry


#: An input whose fields say what they are where nobody says otherwise.
WISH = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "tone": {"enum": ["plain", "warm"], "default": "warm"},
        "copies": {"type": "integer", "default": 3},
        "share": {"type": "number", "default": 0.5},
        "urgent": {"type": "boolean", "default": False},
        "labels": {"type": "array", "items": {"type": "string"}, "default": ["new"]},
        "address": {"$ref": "#/$defs/Address", "default": {"street": "Main St", "zip": "8000"}},
    },
    "required": ["title"],
    "$defs": {
        "Address": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "zip": {"type": "string"}},
            "required": ["street"],
        }
    },
}
wishes = Workflow("wishes", version="v1", input=WISH)


@wishes.node
async def grant(input: dict[str, Any]) -> dict[str, Any]:
    return input


paced = Workflow("paced", version="v1")


@paced.node
async def places() -> list[int]:
    return [0, 1, 2]


@paced.map(over=places)
async def visit(place: int) -> int:
    while not GO.with_name(f"place{place}").exists():  # noqa: ASYNC110 - files send no events
        await asyncio.sleep(0.02)
    return place


duo = Workflow("duo", version="v1")
NOTE = {"type": "object", "properties": {"note": {"type": "string"}}, "required": ["note"]}


@duo.human_input(schema=NOTE)
def first() -> dict[str, Any]:
    return {"prompt": "And the first?", "data": {"price": 9007199254740993}}


@duo.node
async def pause() -> None:
    await gate()


@duo.human_input(schema=NOTE, after=["pause"])
def second() -> str:
    return "And the second?"
