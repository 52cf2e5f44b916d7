"""``infraweave db verify``, ``backup`` and ``prune``."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infraweave.cli.options import db_option, json_option, parse_duration, parse_size
from infraweave.cli.output import FAILED, echo_err, format_size, show_json

if TYPE_CHECKING:
    from infraweave.store.maintenance.verify_run import Counts, Problem
    from infraweave.store.retention import Removed, RetentionPolicy

#: The most problems shown one by one. Of the others, only the number is shown.
_MOST = 1_000
#: The default of --older-than, in seconds.
_THIRTY_DAYS = 30 * 86_400.0


@click.command(epilog="Example: infraweave db verify --db runs.db")
@db_option
@click.option("--repair", is_flag=True, help="Rebuild the index and the agenda. No server may be using FILE.")
@json_option
def verify(db: Path, repair: bool, as_json: bool) -> None:
    """Rebuild every run of FILE from its events and report differences. The exit code is 1 if there are any.

    Without --repair this only reads the file, and works while a server uses it.
    """
    from infraweave.store.maintenance.verify import verify as problems_of
    from infraweave.store.maintenance.verify_run import Counts

    counts = Counts()
    repaired = _repair(db) if repair else None
    problems = problems_of(db, counts)
    shown = list(islice(problems, _MOST))
    more = sum(1 for _ in problems)
    if as_json:
        show_json(_verdict(db, counts, shown, more, repaired))
    else:
        _print_verdict(db, counts, shown, more, repaired)
    sys.exit(FAILED if shown else 0)


def _repair(db: Path) -> int:
    """Repair a file; return how many problems it had."""
    from infraweave.engine.clock import SystemClock
    from infraweave.store.maintenance.verify import repair

    _must_exist(db)
    return len(asyncio.run(repair(db, SystemClock().now())))


def _verdict(
    db: Path, counts: Counts, shown: list[Problem], more: int, repaired: int | None
) -> dict[str, Any]:
    problems = [{"about": p.about, "run_id": p.run_id, "message": p.message} for p in shown]
    verdict = {
        "db": str(db.resolve()),
        "ok": not shown,
        "runs": counts.runs,
        "events": counts.events,
        "problems": problems,
        "more_problems": more,
    }
    return verdict if repaired is None else {**verdict, "problems_before_repair": repaired}


def _print_verdict(db: Path, counts: Counts, shown: list[Problem], more: int, repaired: int | None) -> None:
    for problem in shown:
        where = problem.run_id or (f"run key {problem.run_key}" if problem.run_key is not None else str(db))
        click.echo(f"{where}: {problem.about}: {problem.message}")
    if more:
        click.echo(f"… and {more:,} more")
    if repaired is not None:
        left = len(shown) + more
        echo_err(f"{repaired:,} problems before the repair, {left:,} after it")
    verdict = f"{len(shown) + more:,} problems" if shown else "no problems"
    click.echo(f"{db}: {counts.runs:,} runs, {counts.events:,} events: {verdict}")
    if shown and repaired is None:
        echo_err(_advice(shown))


def _advice(shown: list[Problem]) -> str:
    from infraweave.store.maintenance.verify import REPAIRABLE

    if all(problem.about in REPAIRABLE for problem in shown):
        return "The events are intact. Stop the server and run this command with --repair."
    return "Events are damaged. Keep a copy of the file, and restore a backup."


@click.command(epilog="Example: infraweave db backup /backups/runs-$(date +%F).db --db runs.db")
@click.argument("target", type=click.Path(path_type=Path))
@db_option
@click.option("--force", is_flag=True, help="Overwrite TARGET if it exists.")
@json_option
def backup(target: Path, db: Path, force: bool, as_json: bool) -> None:
    """Copy FILE as it is now to TARGET, even while a server uses it.

    TARGET appears once the copy is complete, verified and on disk. It contains everything in FILE, including
    the secrets of webhooks.
    """
    from infraweave.store.maintenance.backup import backup as back_up

    size = back_up(db, target, force=force, progress=_progress())
    if as_json:
        show_json({"db": str(db.resolve()), "backup": str(target.resolve()), "size": size})
    else:
        click.echo(f"{target}: {format_size(size)}")


def _progress() -> Callable[[int, int], None] | None:
    """Return a function that shows progress, if stderr is a terminal."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        click.echo(f"\r{done:,} of {total:,} pages", err=True, nl=done >= total)

    return show


@click.command(epilog="Example: infraweave db prune --older-than 7d --dry-run")
@db_option
@click.option(
    "--older-than",
    callback=parse_duration,
    metavar="DURATION",
    help="Remove runs that ended longer ago. Default: 30d.",
)
@click.option("--keep-runs", type=click.IntRange(0), metavar="N", help="Keep only the newest N ended runs.")
@click.option(
    "--keep-bytes",
    callback=parse_size,
    metavar="SIZE",
    help="Remove the oldest runs until FILE is no larger.",
)
@click.option(
    "--dry-run", is_flag=True, help="Only show what would be removed; works while a server uses FILE."
)
@json_option
def prune(
    db: Path,
    older_than: float | None,
    keep_runs: int | None,
    keep_bytes: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove ended runs from FILE and shrink it. No server may be using FILE. Open runs always stay.

    A server does this by itself: see --keep, --keep-runs and --keep-bytes of `infraweave serve`. Unlike a
    server, this command trusts the clock of the machine, even if it jumped since FILE was last used.
    """
    from infraweave.engine.clock import SystemClock
    from infraweave.store.retention import RetentionPolicy, preview

    _must_exist(db)
    if older_than is None and keep_runs is None and keep_bytes is None:
        older_than = _THIRTY_DAYS
    age = None if older_than is None or math.isinf(older_than) else round(older_than * 1000)
    keep, now = RetentionPolicy(age=age, runs=keep_runs, size=keep_bytes), SystemClock().now()
    before = db.stat().st_size
    removed = preview(db, keep, now) if dry_run else asyncio.run(_prune(db, keep, now))
    _print_removed(db, removed, before, dry_run, as_json)


async def _prune(db: Path, keep: RetentionPolicy, now: int) -> Removed:
    from infraweave.store.retention import Retention
    from infraweave.store.sqlite.database import Database

    async with Database.open(db, now=now) as opened:
        return await Retention(opened).sweep(keep, now)


def _print_removed(db: Path, removed: Removed, before: int, dry_run: bool, as_json: bool) -> None:
    after = db.stat().st_size
    if as_json:
        sizes = {"size_before": before, "size_after": after}
        show_json({"db": str(db.resolve()), "dry_run": dry_run, "runs": removed.runs, **sizes})
    elif dry_run:
        click.echo(f"{removed.runs:,} runs would be removed, with {format_size(removed.size)} of events")
    else:
        click.echo(f"{removed.runs:,} runs removed; {db}: {format_size(before)} → {format_size(after)}")


def _must_exist(path: Path) -> None:
    from infraweave.errors import StartupError

    if not path.is_file():
        raise StartupError(f"{path}: no such file")
