"""``infraweave db verify``, ``backup`` and ``prune``: looks after a database file."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infraweave.cli.options import db_option, parse_duration, parse_size
from infraweave.cli.output import FAILED, echo_err, format_size, show_json

if TYPE_CHECKING:
    from infraweave.store.maintenance.verify_run import Counts, Problem
    from infraweave.store.retention import Removed, RetentionPolicy

#: Problems that are told one by one; of the others only how many there are.
_MOST = 1_000
#: What stays where nothing is said, in seconds.
_THIRTY_DAYS = 30 * 86_400.0

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command(epilog="Example: infraweave db verify --db runs.db")
@db_option
@click.option("--repair", is_flag=True, help="Make index and agenda anew; only where nobody serves FILE.")
@as_json
def verify(db: Path, repair: bool, as_json: bool) -> None:
    """Derive every run of FILE from its events anew, and tell what does not agree; exit 1 if anything.

    Without --repair it only reads, also while a server serves the file.
    """
    from infraweave.store.maintenance.verify import verify as problems_of
    from infraweave.store.maintenance.verify_run import Counts

    counts = Counts()
    mended = _repair(db) if repair else None
    problems = problems_of(db, counts)
    told = list(islice(problems, _MOST))
    more = sum(1 for _ in problems)
    if as_json:
        show_json(_verdict(db, counts, told, more, mended))
    else:
        _tell(db, counts, told, more, mended)
    sys.exit(FAILED if told else 0)


def _repair(db: Path) -> int:
    """Repair a file; return how many problems it had."""
    from infraweave.engine.clock import SystemClock
    from infraweave.store.maintenance.verify import repair

    _must_exist(db)
    return len(asyncio.run(repair(db, SystemClock().now())))


def _verdict(db: Path, counts: Counts, told: list[Problem], more: int, mended: int | None) -> dict[str, Any]:
    problems = [{"about": p.about, "run_id": p.run_id, "message": p.message} for p in told]
    verdict = {
        "db": str(db.resolve()),
        "ok": not told,
        "runs": counts.runs,
        "events": counts.events,
        "problems": problems,
        "more_problems": more,
    }
    return verdict if mended is None else {**verdict, "problems_before_repair": mended}


def _tell(db: Path, counts: Counts, told: list[Problem], more: int, mended: int | None) -> None:
    for problem in told:
        where = problem.run_id or (f"run key {problem.run_key}" if problem.run_key is not None else str(db))
        click.echo(f"{where}: {problem.about}: {problem.message}")
    if more:
        click.echo(f"… and {more:,} more")
    if mended is not None:
        left = len(told) + more
        echo_err(f"{mended:,} problems before the repair, {left:,} after it")
    verdict = f"{len(told) + more:,} problems" if told else "nothing is wrong"
    click.echo(f"{db}: {counts.runs:,} runs, {counts.events:,} events: {verdict}")
    if told and mended is None:
        echo_err(_advice(told))


def _advice(told: list[Problem]) -> str:
    from infraweave.store.maintenance.verify import REPAIRABLE

    if all(problem.about in REPAIRABLE for problem in told):
        return "The events are whole: stop the server and run this with --repair."
    return "Keep a copy of the file as it is, and restore a backup of what is damaged."


@click.command(epilog="Example: infraweave db backup /backups/runs-$(date +%F).db --db runs.db")
@click.argument("target", type=click.Path(path_type=Path))
@db_option
@click.option("--force", is_flag=True, help="Overwrite TARGET.")
@as_json
def backup(target: Path, db: Path, force: bool, as_json: bool) -> None:
    """Copy FILE to TARGET, as it is at this moment, also while a server serves it.

    TARGET gets its name once it is whole, checked and on the disk. It holds all that FILE holds, the secrets
    of webhooks too.
    """
    from infraweave.store.maintenance.backup import backup as back_up

    size = back_up(db, target, force=force, progress=_progress())
    if as_json:
        show_json({"db": str(db.resolve()), "backup": str(target.resolve()), "size": size})
    else:
        click.echo(f"{target}: {format_size(size)}")


def _progress() -> Callable[[int, int], None] | None:
    """Return what shows progress on a terminal."""
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
@click.option("--keep-runs", type=click.IntRange(0), help="Keep so many, the newest.")
@click.option(
    "--keep-bytes", callback=parse_size, metavar="SIZE", help="Remove the oldest until FILE holds no more."
)
@click.option(
    "--dry-run", is_flag=True, help="Only tell what would be removed, also of a file that is served."
)
@as_json
def prune(
    db: Path,
    older_than: float | None,
    keep_runs: int | None,
    keep_bytes: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove ended runs from FILE, which nobody serves, and make it smaller. Open runs always stay.

    A server does the same by itself: see --keep, --keep-runs and --keep-bytes of serve. Unlike a server, this
    believes the clock of the machine, however far it has leapt since FILE was served.
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
    _tell_removed(db, removed, before, dry_run, as_json)


async def _prune(db: Path, keep: RetentionPolicy, now: int) -> Removed:
    from infraweave.store.retention import Retention
    from infraweave.store.sqlite.database import Database

    async with Database.open(db, now=now) as opened:
        return await Retention(opened).sweep(keep, now)


def _tell_removed(db: Path, removed: Removed, before: int, dry_run: bool, as_json: bool) -> None:
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
