"""What a type checker tells authors: a node keeps the signature of its function, in every spelling."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")

HEAD = """
from collections.abc import Awaitable, Callable
from typing import Literal, assert_type
from infraweave import Context, Retry, Workflow

class Order: ...
class Payment: ...

flow = Workflow("typed", version="v1", input=Order)
"""
RIGHT = """
@flow.node
async def bare(input: Order) -> Payment:
    return Payment()

@flow.node(kind="agent", retry=Retry(max_attempts=5), timeout="30s", after=[bare, "bare"])
def options(bare: Payment, other: int | None = None, *, ctx: Context) -> int:
    return 1

@bare.compensate
async def undo(bare: Payment, input: Order, ctx: Context) -> None: ...

@options.compensate(retry=None, timeout=5)
def also(options: int) -> None: ...

@flow.router(routes=["options", bare])
def way(bare: Payment) -> Literal["options"]:
    return "options"

@flow.human_input(schema=Order, timeout="48h")
def ask(bare: Payment) -> str:
    return "Go?"

@flow.sleep
def nap(input: Order) -> float:
    return 1.0

@flow.sleep(after=[ask])
def rest() -> str:
    return "1h"

wait = flow.sleep("pause", "24h", after=[nap])
flow.output(flow.human_input("go", prompt="Go?", schema={"type": "object"}, after=[wait]))

async def test(ctx: Context) -> None:
    assert_type(await bare(Order()), Payment)
    assert_type(options(Payment(), ctx=ctx), int)
    assert_type(await undo(Payment(), Order(), ctx), None)
    assert_type(way(Payment()), Literal["options"])
    assert_type(ask(Payment()), str)
    assert_type(nap(Order()), float)
    assert_type(rest(), str)
    assert_type(wait.name, str)

undone: Callable[[int], None] = also
"""
WRONG = """
@flow.node
def node(input: Order) -> int:
    return 1

node(5)  # wrong
node(Order(), 1)  # wrong
text: str = node(Order())  # wrong
flow.node(kind="wizard")  # wrong
flow.node(timeout=[30])  # wrong
flow.router()  # wrong
flow.human_input("ask", prompt="Go?")  # wrong
flow.sleep("pause")  # wrong
flow.output(node(Order()))  # wrong
"""


def errors(folder: Path, text: str) -> list[tuple[str, str]]:
    """Return the lines of a file that mypy --strict objects to, with what it says."""
    (folder / "authored.py").write_text(HEAD + text)
    cache = Path(__file__).parents[2] / ".mypy_cache"
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", cache, "authored.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = ["", *(HEAD + text).splitlines()]
    told = [line.split(":", 2) for line in done.stdout.splitlines() if " error: " in line]
    return [(lines[int(number)], message) for _, number, message in told]


def test_a_node_is_called_as_its_function_is(tmp_path):
    assert errors(tmp_path, RIGHT) == []


def test_mistakes_are_told_before_anything_runs(tmp_path):
    told = list(dict.fromkeys(line for line, _ in errors(tmp_path, WRONG)))

    assert told == [line for line in WRONG.splitlines() if "# wrong" in line]
