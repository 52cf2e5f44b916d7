"""The command: ``python -m tests.bench``."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.bench import figures, groups, printing
from tests.bench.child import Tree
from tests.bench.compare import checked_out, commit_of
from tests.bench.machine import describe
from tests.bench.results import Measured
from tests.bench.scale import QUICK, STANDARD, Scale

LABEL = "now"


def main() -> None:
    chosen = _parser().parse_args()
    try:
        chosen.carry_out(chosen)
    except ValueError as error:
        sys.exit(str(error))


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--rows", action="append", default=[], help="names of rows or groups, with commas")
    shared.add_argument("--quick", action="store_true", help="fewer and shorter rounds, smaller files")
    shared.add_argument(
        "--waiting", type=int, metavar="N", help="how many runs wait at most, such as 1000000"
    )
    shared.add_argument("--folder", type=Path, help="where the files are written; default: temporary files")
    shared.add_argument("--save", metavar="NAME", help="keep the figures as tests/bench/figures/NAME.json")
    parser = argparse.ArgumentParser(prog="python -m tests.bench", parents=[shared])
    parser.set_defaults(carry_out=_measure)
    commands = parser.add_subparsers()
    compare = commands.add_parser("compare", parents=[shared], help="measure two commits in alternation")
    compare.add_argument("before", help="a commit")
    compare.add_argument("after", help="a commit, or . for the checkout as it is")
    compare.set_defaults(carry_out=_compare)
    table = commands.add_parser("table", help="print kept figures as Markdown")
    table.add_argument("name", nargs="?", help="default: the newest of one commit")
    table.add_argument("--write", action="store_true", help="put the newest into docs/performance.md")
    table.set_defaults(carry_out=_table)
    rows = commands.add_parser("rows", help="list the rows by name")
    rows.set_defaults(carry_out=_rows)
    return parser


def _measure(chosen: argparse.Namespace) -> None:
    commits = {LABEL: commit_of(".")}
    _take([Tree(LABEL)], commits, chosen, printing.heading(), partial(printing.line, label=LABEL))


def _compare(chosen: argparse.Namespace) -> None:
    commits = {"before": commit_of(chosen.before), "after": commit_of(chosen.after)}
    labels = list(commits)
    print(f"before: {chosen.before}, after: {chosen.after}\n")
    with checked_out((chosen.before, chosen.after)) as trees:
        _take(
            trees,
            commits,
            chosen,
            printing.comparison_heading(labels),
            partial(printing.comparison_line, labels=labels),
        )


def _take(
    trees: Sequence[Tree],
    commits: dict[str, str],
    chosen: argparse.Namespace,
    heading: str,
    line: Callable[[Measured], str],
) -> None:
    """Measure, print each row as soon as it is known, and keep the figures if that is wanted."""
    scale = _scale(chosen)
    names = groups.choose([name for given in chosen.rows for name in given.split(",")], scale)
    machine = describe(chosen.folder or Path(tempfile.gettempdir()))
    print(f"{printing.machine(machine)}\n\n{heading}", flush=True)

    def show(measured: Measured) -> None:
        print(line(measured), flush=True)

    found = asyncio.run(groups.measure(trees, names, scale, chosen.folder, show))
    if chosen.save:
        print(f"\nkept in {figures.save(chosen.save, machine, commits, found)}")


def _scale(chosen: argparse.Namespace) -> Scale:
    scale = QUICK if chosen.quick else STANDARD
    most: int | None = chosen.waiting
    return scale if most is None else replace(scale, waiting=(most // 100, most // 10, most))


def _table(chosen: argparse.Namespace) -> None:
    if chosen.write:
        figures.PAGE.write_text(figures.page(figures.PAGE.read_text()))
    print(figures.table(chosen.name))


def _rows(_: argparse.Namespace) -> None:
    for group in groups.GROUPS:
        for row in group.rows(STANDARD):
            print(f"{group.name:12}{row.name:18}{row.what} ({row.unit})")


if __name__ == "__main__":
    main()
