"""The command: ``python -m tests.bench``."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.bench import figures, groups, printing
from tests.bench.child import Tree
from tests.bench.compare import checked_out
from tests.bench.machine import describe
from tests.bench.results import Measured
from tests.bench.scale import QUICK, STANDARD, Scale

LABEL = "now"


def main() -> None:
    chosen = _parser().parse_args()
    if chosen.command == "table":
        print(figures.table())
        return
    scale = QUICK if chosen.quick else STANDARD
    try:
        names = groups.choose([name for given in chosen.rows for name in given.split(",")], scale)
        print(printing.machine(describe(_folder(chosen))), end="\n\n", flush=True)
        if chosen.command == "compare":
            _compare((chosen.before, chosen.after), names, scale, chosen)
        else:
            _measure(names, scale, chosen)
    except ValueError as error:
        sys.exit(str(error))


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--rows", action="append", default=[], help="names of rows or groups, with commas")
    shared.add_argument("--quick", action="store_true", help="fewer and shorter rounds, smaller files")
    shared.add_argument("--folder", type=Path, help="where the files are written; default: temporary files")
    parser = argparse.ArgumentParser(prog="python -m tests.bench", parents=[shared])
    parser.add_argument("--save", metavar="NAME", help="keep the figures as tests/bench/figures/NAME.json")
    parser.set_defaults(command="measure")
    commands = parser.add_subparsers(dest="command", required=False)
    compare = commands.add_parser("compare", parents=[shared], help="measure two commits in alternation")
    compare.add_argument("before", help="a commit")
    compare.add_argument("after", help="a commit, or . for the checkout as it is")
    commands.add_parser("table", help="print the table of docs/performance.md from the kept figures")
    return parser


def _folder(chosen: argparse.Namespace) -> Path:
    return chosen.folder or Path(tempfile.gettempdir())


def _measure(names: list[str], scale: Scale, chosen: argparse.Namespace) -> None:
    print(printing.heading(), flush=True)

    def show(measured: Measured) -> None:
        print(printing.line(measured, LABEL), flush=True)

    found = asyncio.run(groups.measure([Tree(LABEL)], names, scale, chosen.folder, show))
    if chosen.save:
        figures.save(chosen.save, describe(_folder(chosen)), found, LABEL)


def _compare(commits: tuple[str, str], names: list[str], scale: Scale, chosen: argparse.Namespace) -> None:
    with checked_out(commits) as trees:
        labels = [tree.label for tree in trees]
        print(f"before: {commits[0]}, after: {commits[1]}\n{printing.comparison_heading(labels)}", flush=True)

        def show(measured: Measured) -> None:
            print(printing.comparison_line(measured, labels), flush=True)

        asyncio.run(groups.measure(trees, names, scale, chosen.folder, show))


if __name__ == "__main__":
    main()
