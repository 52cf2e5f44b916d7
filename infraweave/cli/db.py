"""``infraweave db``: looks into a database file, and looks after it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infraweave.cli.db_maintenance import backup, prune, verify
from infraweave.cli.options import db_option
from infraweave.cli.output import STATES, format_size, show_json, show_table

if TYPE_CHECKING:
    from infraweave.store.maintenance.stats import Stats

Json = dict[str, Any]


@click.group(epilog="Example: infraweave db stats --db runs.db")
def command() -> None:
    """Look into a database file, check it, copy it, and remove old runs from it."""


for part in (backup, prune, verify):
    command.add_command(part)


@command.command(epilog="Example: infraweave db stats --db runs.db --json")
@db_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def stats(db: Path, as_json: bool) -> None:
    """Tell what FILE holds: rows, sizes, runs by state, and the open run that was created first.

    It only reads, also while a server serves the file; counting reads all of it.
    """
    from infraweave.store.maintenance import stats

    found = stats.stats(db)
    if as_json:
        show_json(_told(db, found))
    else:
        _show(db, found)


def _told(db: Path, found: Stats) -> Json:
    import attrs

    told = attrs.asdict(found)
    oldest = found.oldest_open and {**told["oldest_open"], "created_at": _time(found.oldest_open.created_at)}
    return {"db": str(db.resolve()), **told, "oldest_open": oldest}


def _show(db: Path, found: Stats) -> None:
    click.echo(f"{db}: {format_size(found.size)}, of which {format_size(found.free)} free")
    click.echo(f"write-ahead log: {format_size(found.wal_size)}\n")
    sizes = {table.table: table.size and format_size(table.size) for table in found.tables}
    tables = [{"table": t.table, "rows": f"{t.rows:,}", "size": sizes[t.table]} for t in found.tables]
    show_table(("table", "rows", "size"), tables)
    click.echo()
    runs = [{"state": state, "runs": f"{count:,}"} for state, count in found.runs.items()]
    show_table(("state", "runs"), runs, {"state": STATES})
    if (run := found.oldest_open) is not None:
        where = f"{run.workflow_id} {run.workflow_version}, tenant {run.tenant}"
        click.echo(f"\noldest open run: {run.run_id} ({where}) {run.state}, made {_time(run.created_at)}")


def _time(at: int) -> str:
    from infraweave.core.data.values import rfc3339

    return rfc3339(at)
