"""``infraweave db``: the group, and the command that shows statistics of a database file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infraweave.cli.db_maintenance import backup, prune, verify
from infraweave.cli.options import db_option, json_option
from infraweave.cli.output import STATES, format_size, show_json, show_table

if TYPE_CHECKING:
    from infraweave.store.maintenance.stats import Stats

Json = dict[str, Any]


@click.group(epilog="Example: infraweave db stats --db runs.db")
def command() -> None:
    """Inspect, verify, back up and prune a database file."""


for part in (backup, prune, verify):
    command.add_command(part)


@command.command(epilog="Example: infraweave db stats --db runs.db --json")
@db_option
@json_option
def stats(db: Path, as_json: bool) -> None:
    """Show statistics of FILE: rows, sizes, runs by state, and the oldest open run.

    This only reads the file, and works while a server uses it. It reads the whole file to count rows.
    """
    from infraweave.store.maintenance import stats

    found = stats.stats(db)
    if as_json:
        show_json(_to_json(db, found))
    else:
        _show(db, found)


def _to_json(db: Path, found: Stats) -> Json:
    import attrs

    values = attrs.asdict(found)
    if (oldest := values["oldest_open"]) is not None:
        oldest["created_at"] = _time(oldest["created_at"])
    return {"db": str(db.resolve()), **values}


def _show(db: Path, found: Stats) -> None:
    click.echo(f"{db}: {format_size(found.size)}, {format_size(found.free)} of it free")
    click.echo(f"write-ahead log: {format_size(found.wal_size)}\n")
    sizes = {table.table: table.size and format_size(table.size) for table in found.tables}
    tables = [{"table": t.table, "rows": f"{t.rows:,}", "size": sizes[t.table]} for t in found.tables]
    show_table(("table", "rows", "size"), tables)
    click.echo()
    runs = [{"state": state, "runs": f"{count:,}"} for state, count in found.runs.items()]
    show_table(("state", "runs"), runs, {"state": STATES})
    if (run := found.oldest_open) is not None:
        where = f"{run.workflow_id} {run.workflow_version}, tenant {run.tenant}"
        click.echo(f"\noldest open run: {run.run_id} ({where}) {run.state}, created {_time(run.created_at)}")


def _time(at: int) -> str:
    from infraweave.core.data.values import rfc3339

    return rfc3339(at)
