"""``infraweave grants``: lists, adds and deletes grants, at a server or in an unused database file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from infraweave.cli.offline import (
    OpenFile,
    check_names,
    principal_to_json,
    run_offline,
    server_or_file_options,
)
from infraweave.cli.output import show_json, show_table
from infraweave.cli.remote import call_server
from infraweave.cli.tokens import read_grants
from infraweave.core.access import Grant

COLUMNS = ("tenant", "principal", "grant")
PATH = "/v1/admin/grants"


@click.group(epilog="Example: infraweave grants list --tenant acme")
def command() -> None:
    """List, add and delete grants."""


def _principal_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--principal", required=True, help="The principal that may do it.")(command)
    return click.option("--tenant", required=True, help="The principal's tenant.")(command)


@command.command("list", epilog="Example: infraweave grants list --tenant acme --principal ci")
@click.option("--tenant", help="Only grants in this tenant.")
@click.option("--principal", help="Only grants of this principal.")
@server_or_file_options
def list_(
    tenant: str | None, principal: str | None, url: str, token: str | None, db: Path | None, as_json: bool
) -> None:
    """List grants, one per line."""
    if db is not None:
        found = run_offline(db, lambda file: _list(file, tenant, principal))
    else:
        params = {"tenant": tenant, "principal": principal}
        found = call_server(url, token, lambda client: client.request("GET", PATH, params=params))
    if as_json:
        show_json(found)
    else:
        show_table(COLUMNS, found["grants"])


@command.command(epilog="Example: infraweave grants create --tenant acme --principal ci execute:workflow:*")
@click.argument("grants", nargs=-1, required=True, metavar="ACTION:RESOURCE...")
@_principal_options
@server_or_file_options
def create(
    grants: tuple[str, ...],
    tenant: str,
    principal: str,
    url: str,
    token: str | None,
    db: Path | None,
    as_json: bool,
) -> None:
    """Add grants to a principal."""
    wanted = read_grants(grants)
    if db is not None:
        check_names(tenant=tenant, principal=principal)
        made = run_offline(db, lambda file: _add(file, tenant, principal, wanted))
    else:
        body = {"tenant": tenant, "principal": principal, "grants": list(grants)}
        made = call_server(url, token, lambda client: client.request("POST", PATH, body=body))
    _show(made, as_json)


@command.command(epilog="Example: infraweave grants delete --tenant acme --principal ci execute:workflow:*")
@click.argument("grant", metavar="ACTION:RESOURCE")
@_principal_options
@server_or_file_options
def delete(
    grant: str, tenant: str, principal: str, url: str, token: str | None, db: Path | None, as_json: bool
) -> None:
    """Delete a grant of a principal. Open streams that need it end."""
    (unwanted,) = read_grants((grant,))
    if db is not None:
        left = run_offline(db, lambda file: _withdraw(file, tenant, principal, unwanted))
    else:
        params = {"tenant": tenant, "principal": principal, "grant": grant}
        left = call_server(url, token, lambda client: client.request("DELETE", PATH, params=params))
    _show(left, as_json)


def _show(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(row)
    else:
        click.echo(f"{row['tenant']}/{row['principal']} may {', '.join(row['grants']) or 'nothing'}")


async def _list(file: OpenFile, tenant: str | None, principal: str | None) -> dict[str, Any]:
    from infraweave.store.admin import Admin

    rows = [row for row in await Admin(file.db).principals(tenant) if principal in (None, row.principal)]
    shown = [(row.tenant, row.principal, grant) for row in rows for grant in sorted(map(str, row.grants))]
    return {"grants": [dict(zip(COLUMNS, each, strict=True)) for each in shown]}


async def _add(file: OpenFile, tenant: str, principal: str, grants: list[Grant]) -> dict[str, Any]:
    from infraweave.store.admin import Admin

    record = file.record("add_grants", f"principal:{tenant}/{principal}", " ".join(map(str, grants)))
    return principal_to_json(await Admin(file.db).grant(tenant, principal, grants, file.now, record))


async def _withdraw(file: OpenFile, tenant: str, principal: str, grant: Grant) -> dict[str, Any]:
    from infraweave.store.admin import Admin

    record = file.record("delete_grant", f"principal:{tenant}/{principal}", str(grant))
    return principal_to_json(await Admin(file.db).remove_grant(tenant, principal, grant, record))
