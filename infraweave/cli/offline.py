"""Acts on a file that nobody serves: opened for one act, of which its audit log tells."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from attrs import frozen

from infraweave.cli.output import USAGE, fail
from infraweave.cli.remote import connection_options
from infraweave.core.data.values import rfc3339
from infraweave.errors import StartupError

if TYPE_CHECKING:
    from infraweave.store.admin import PrincipalRow
    from infraweave.store.sqlite.audit_record import AuditRecord
    from infraweave.store.sqlite.database import Database

T = TypeVar("T")


def server_or_file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where to act: at a server, or in a file; and how the answer is shown."""
    command = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)
    command = click.option(
        "--db", type=click.Path(path_type=Path), help="A file that nobody serves, in place of a server."
    )(command)
    return connection_options(command)


def check_names(**names: str) -> None:
    """End the process where a name of a tenant or principal is none that a server would take."""
    from infraweave.core.access import name_fault

    for option, name in names.items():
        if (fault := name_fault(name)) is not None:
            fail(f"{option} {fault}", code=USAGE)


@frozen
class OpenFile:
    """A file for the length of one act; ``now`` in milliseconds."""

    db: Database
    now: int

    def record(self, action: str, resource: str, detail: str | None = None) -> AuditRecord:
        """Return what the audit log is to say."""
        from infraweave.store.sqlite.audit_record import AuditRecord

        return AuditRecord(
            at=self.now, action=action, resource=resource, principal=_person(), source="cli", detail=detail
        )


def _person() -> str:
    try:
        return f"os:{getpass.getuser()}"
    except (OSError, KeyError):  # an account without a name
        return "os:unknown"


def run_offline(path: Path, work: Callable[[OpenFile], Awaitable[T]], *, create: bool = False) -> T:
    """Return what ``work`` returns of an opened file; with ``create`` the file is made where there is none.

    Raises:
        StartupError: there is no such file, or it is served.
    """
    if not create and not path.exists():
        raise StartupError(f"{path}: no such file")
    return asyncio.run(_act(path, work))


async def _act(path: Path, work: Callable[[OpenFile], Awaitable[T]]) -> T:
    from infraweave.engine.clock import SystemClock
    from infraweave.store.sqlite.database import Database

    now = SystemClock().now()
    async with Database.open(path, now=now) as db:
        return await work(OpenFile(db, now))


def principal_to_json(row: PrincipalRow) -> dict[str, Any]:
    """Return a principal as the server shows it."""
    return {
        "tenant": row.tenant,
        "principal": row.principal,
        "created_at": rfc3339(row.created_at),
        "grants": sorted(map(str, row.grants)),
    }


def format_time(at: int | None) -> str | None:
    """Return a time as the server shows it."""
    return None if at is None else rfc3339(at)
