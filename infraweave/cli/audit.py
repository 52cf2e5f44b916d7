"""``infraweave audit``: shows the audit log of a server or of an unused database file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from attrs import asdict

from infraweave.cli.offline import OpenFile, run_offline, server_or_file_options
from infraweave.cli.output import USAGE, fail, show_json, show_table
from infraweave.cli.remote import call_server
from infraweave.core.data.redact import one_line
from infraweave.core.data.values import from_rfc3339, rfc3339

COLUMNS = ("at", "outcome", "tenant", "principal", "action", "resource", "reason", "detail", "request_id")
#: The most characters of a cell.
_WIDEST = 80
_TIMES = ("after", "before")


@click.command(epilog="Example: infraweave audit --outcome denied --after 2026-07-01T00:00:00Z")
@click.option("--tenant", help="Only requests by principals of this tenant.")
@click.option("--principal", help="Only requests by this principal.")
@click.option("--action", help="Only this action, such as start_run.")
@click.option("--resource", help="Only this resource, such as run:run_01J9….")
@click.option("--outcome", type=click.Choice(["allowed", "denied"]), help="Only this outcome.")
@click.option("--request-id", help="Only entries of this request.")
@click.option("--after", metavar="TIME", help="Only entries at or after this time (RFC 3339).")
@click.option("--before", metavar="TIME", help="Only entries before this time (RFC 3339).")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="The most entries to show."
)
@click.option("--cursor", help="The next_cursor of the previous page; only with a server.")
@server_or_file_options
def command(
    url: str, token: str | None, db: Path | None, as_json: bool, cursor: str | None, **filters: Any
) -> None:
    """Show who did what, and what was denied; newest first."""
    _check_times(filters)
    if db is not None:
        if cursor is not None:
            fail("--cursor works only with a server; with --db use --before", code=USAGE)
        found = run_offline(db, lambda file: _read(file, filters))
    else:
        params = {**filters, "cursor": cursor}
        found = call_server(url, token, lambda client: client.request("GET", "/v1/audit", params=params))
    if as_json:
        show_json(found)
    else:
        show_table(COLUMNS, [_cut(row) for row in found["audit"]])


def _check_times(filters: dict[str, Any]) -> None:
    for name in _TIMES:
        try:
            _ = None if filters[name] is None else from_rfc3339(filters[name])
        except ValueError as error:
            fail(f"--{name} {error}", code=USAGE)


def _cut(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: one_line(value, _WIDEST) if isinstance(value, str) else value for name, value in row.items()
    }


async def _read(file: OpenFile, filters: dict[str, Any]) -> dict[str, Any]:
    from infraweave.store.audit import AuditFilters, AuditLog

    times = {name: None if filters[name] is None else from_rfc3339(filters[name]) for name in _TIMES}
    wanted = {name: value for name, value in filters.items() if name not in (*_TIMES, "limit")}
    asked = AuditFilters(**wanted, after=times["after"], before=times["before"])
    rows = await AuditLog(file.db).list(asked, limit=filters["limit"])
    shown = [{**asdict(row), "at": rfc3339(row.at)} for row in rows]
    return {
        "audit": [{k: v for k, v in row.items() if k != "audit_id"} for row in shown],
        "next_cursor": None,
    }
