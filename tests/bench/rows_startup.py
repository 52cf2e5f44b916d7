"""Rows of starting: until a server answers, and what it holds then."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from pathlib import Path

from tests.bench.child import Tree, child
from tests.bench.results import Measured, Round, Row
from tests.bench.scale import Scale
from tests.bench.server import bare, infraweave

QUART, PYTHON = "bare Quart", "python -c pass"
SERVE = Row("serve", "infraweave serve, until the first response", "ms", False, QUART)
IDLE = Row("serve-memory", "infraweave serve, idle", "MiB", False, QUART)
HELP = Row("help", "infraweave --help", "ms", False, PYTHON)


def rows(_: Scale) -> list[Row]:
    return [SERVE, IDLE, HELP]


async def measure(
    trees: Sequence[Tree], names: Collection[str], scale: Scale, folder: Path
) -> list[Measured]:
    """Measure the chosen rows in turn. A first round compiles the modules, and does not count."""
    uncounted = 1 if scale.starts > 1 else 0
    found = {row.name: Measured(row) for row in rows(scale) if row.name in names}
    for place in range(-uncounted, scale.starts):
        if {"serve", "serve-memory"} & found.keys():
            _add(found, ("serve", "serve-memory"), None, await _bare(trees[0], folder), place)
            for tree in trees:
                served = await _served(tree, folder)
                _add(found, ("serve", "serve-memory"), tree.label, served, place)
        if "help" in found:
            _add(found, ("help",), None, [await _command(trees[0], "-c", "pass")], place)
            for tree in trees:
                _add(
                    found, ("help",), tree.label, [await _command(tree, "-m", "infraweave", "--help")], place
                )
    return list(found.values())


def _add(
    found: dict[str, Measured], names: Sequence[str], label: str | None, taken: Sequence[Round], place: int
) -> None:
    for name, took in zip(names, taken, strict=True):
        if name in found and place >= 0:
            measured = found[name]
            (measured.yardstick if label is None else measured.trees.setdefault(label, [])).append(took)


async def _bare(tree: Tree, folder: Path) -> list[Round]:
    began = time.perf_counter()
    async with bare(tree, folder / "bare") as server:
        await server.ask("GET", "/run")
        return _took(began, server.process.memory_mib())


async def _served(tree: Tree, folder: Path) -> list[Round]:
    """Serve the file of the round before, which is the usual start."""
    began = time.perf_counter()
    async with infraweave(tree, folder / tree.label) as server:
        await server.ask("GET", "/healthz")
        return _took(began, server.process.memory_mib())


def _took(began: float, memory: float | None) -> list[Round]:
    return [Round((time.perf_counter() - began) * 1e3, memory_mib=memory), Round(memory or 0.0)]


async def _command(tree: Tree, *arguments: str) -> Round:
    began = time.perf_counter()
    async with child(tree, *arguments) as process:
        await process.process.communicate()
    return Round((time.perf_counter() - began) * 1e3)
