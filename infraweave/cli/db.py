"""``infraweave db``: looks into a database file, served or not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infraweave.cli.output import STATES, show_json, show_table

if TYPE_CHECKING:
    from infraweave.store.inspection import Stats

Json = dict[str, Any]

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


@click.group(epilog="Example: infraweave db stats --db runs.db")
def command() -> None:
    """Look into a database file."""


@command.command(epilog="Example: infraweave db stats --db runs.db --json")
@click.option(
    "--db", type=click.Path(path_type=Path), default=Path("infraweave.db"), show_default=True, metavar="FILE"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def stats(db: Path, as_json: bool) -> None:
    """Tell what FILE holds: rows, sizes, runs by state, and the open run that was created first.

    It only reads, also while a server serves the file; counting reads all of it.
    """
    from infraweave.store import inspection

    found = inspection.stats(db)
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
    click.echo(f"{db}: {spell_size(found.size)}, of which {spell_size(found.free)} free")
    click.echo(f"write-ahead log: {spell_size(found.wal_size)}\n")
    sizes = {table.table: table.size and spell_size(table.size) for table in found.tables}
    tables = [{"table": t.table, "rows": f"{t.rows:,}", "size": sizes[t.table]} for t in found.tables]
    show_table(("table", "rows", "size"), tables)
    click.echo()
    runs = [{"state": state, "runs": f"{count:,}"} for state, count in found.runs.items()]
    show_table(("state", "runs"), runs, {"state": STATES})
    if (run := found.oldest_open) is not None:
        where = f"{run.workflow_id} {run.workflow_version}, tenant {run.tenant}"
        click.echo(f"\noldest open run: {run.run_id} ({where}) {run.state}, made {_time(run.created_at)}")


def spell_size(size: int) -> str:
    """Return bytes as people write them: ``512 bytes``, ``1.5 MiB``."""
    value, unit = float(size), 0
    while value >= 1024 and unit + 1 < len(_UNITS):
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit else f"{size} bytes"


def _time(at: int) -> str:
    from infraweave.core.values import rfc3339

    return rfc3339(at)
