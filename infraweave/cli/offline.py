"""Runs one command on a database file that no server uses, and records it in the audit log."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from infraweave.cli.options import json_option
from infraweave.cli.output import USAGE, fail
from infraweave.cli.remote import connection_options
from infraweave.core.data.values import rfc3339
from infraweave.core.lazy_records import frozen
from infraweave.errors import StartupError

if TYPE_CHECKING:
    from infraweave.store.admin import PrincipalRow
    from infraweave.store.sqlite.audit_record import AuditRecord
    from infraweave.store.sqlite.database import Database

T = TypeVar("T")


def server_or_file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --url, --token, --db and --json."""
    db = click.option(
        "--db",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Use this database file instead of a server. No server may be using it.",
    )
    return connection_options(db(json_option(command)))


def check_names(**names: str) -> None:
    """Exit with an error if a tenant or principal name is not valid."""
    from infraweave.core.access import name_fault

    for option, name in names.items():
        if (fault := name_fault(name)) is not None:
            fail(f"{option} {fault}", code=USAGE)


@frozen
class OpenFile:
    """An open database file; ``now`` is in milliseconds."""

    db: Database
    now: int

    def record(self, action: str, resource: str, detail: str | None = None) -> AuditRecord:
        """Return a record for the audit log."""
        from infraweave.store.sqlite.audit_record import AuditRecord

        return AuditRecord(
            at=self.now, action=action, resource=resource, principal=_user(), source="cli", detail=detail
        )


def _user() -> str:
    try:
        return f"os:{getpass.getuser()}"
    except (OSError, KeyError):  # the account has no name
        return "os:unknown"


def run_offline(path: Path, work: Callable[[OpenFile], Awaitable[T]], *, create: bool = False) -> T:
    """Open a file, call ``work`` with it and return the result. ``create`` allows a new file.

    Raises:
        StartupError: the file does not exist, or a server is using it.
    """
    if not create and not path.exists():
        raise StartupError(f"{path}: no such file")
    return asyncio.run(_run(path, work))


async def _run(path: Path, work: Callable[[OpenFile], Awaitable[T]]) -> T:
    from infraweave.engine.clock import SystemClock
    from infraweave.store.sqlite.database import Database

    now = SystemClock().now()
    async with Database.open(path, now=now) as db:
        return await work(OpenFile(db, now))


def principal_to_json(row: PrincipalRow) -> dict[str, Any]:
    """Return a principal as the API shows it."""
    return {
        "tenant": row.tenant,
        "principal": row.principal,
        "created_at": rfc3339(row.created_at),
        "grants": sorted(map(str, row.grants)),
    }


def format_time(at: int | None) -> str | None:
    """Return a time as the API shows it."""
    return None if at is None else rfc3339(at)
