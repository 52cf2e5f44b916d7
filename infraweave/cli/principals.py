"""``infraweave principals``: lists, creates and deletes principals, at a server or in an unused file."""

from __future__ import annotations

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

COLUMNS = ("tenant", "principal", "grants", "created_at")
PATH = "/v1/admin/principals"


@click.group(epilog="Example: infraweave principals list --tenant acme")
def command() -> None:
    """List, create and delete principals."""


@command.command("list", epilog="Example: infraweave principals list --tenant acme --json")
@click.option("--tenant", help="Only principals of this tenant.")
@server_or_file_options
def list_(tenant: str | None, url: str, token: str | None, db: Path | None, as_json: bool) -> None:
    """List principals and their grants."""
    if db is not None:
        found = run_offline(db, lambda file: _list(file, tenant))
    else:
        params = {"tenant": tenant}
        found = call_server(url, token, lambda client: client.request("GET", PATH, params=params))
    if as_json:
        show_json(found)
    else:
        show_table(COLUMNS, found["principals"])


@command.command(
    epilog="Example: infraweave principals create --tenant acme --principal ci --grant read:workflow:*"
)
@click.option("--tenant", required=True, help="Created if it does not exist.")
@click.option("--principal", required=True, help="Its name. An existing principal gets the grants too.")
@click.option("--grant", "grants", multiple=True, metavar="ACTION:RESOURCE", help="Repeatable.")
@server_or_file_options
def create(
    tenant: str,
    principal: str,
    grants: tuple[str, ...],
    url: str,
    token: str | None,
    db: Path | None,
    as_json: bool,
) -> None:
    """Create a principal. It cannot use the API before it has a token."""
    wanted = read_grants(grants)
    if db is not None:
        check_names(tenant=tenant, principal=principal)
        made = run_offline(db, lambda file: _create(file, tenant, principal, wanted), create=True)
    else:
        body = {"tenant": tenant, "principal": principal, "grants": list(grants)}
        made = call_server(url, token, lambda client: client.request("POST", PATH, body=body))
    if as_json:
        show_json(made)
    else:
        click.echo(f"{made['tenant']}/{made['principal']} may {', '.join(made['grants']) or 'nothing yet'}")


@command.command(epilog="Example: infraweave principals delete --tenant acme --principal ci")
@click.option("--tenant", required=True, help="The principal's tenant.")
@click.option("--principal", required=True, help="The principal to delete.")
@server_or_file_options
def delete(tenant: str, principal: str, url: str, token: str | None, db: Path | None, as_json: bool) -> None:
    """Delete a principal with its grants and tokens. Its runs stay."""
    params = {"tenant": tenant, "principal": principal}
    if db is not None:
        run_offline(db, lambda file: _delete(file, tenant, principal))
    else:
        call_server(url, token, lambda client: client.request("DELETE", PATH, params=params))
    if as_json:
        show_json({**params, "deleted": True})
    else:
        click.echo(f"{tenant}/{principal} deleted")


async def _list(file: OpenFile, tenant: str | None) -> dict[str, Any]:
    from infraweave.store.admin import Admin

    return {"principals": [principal_to_json(row) for row in await Admin(file.db).principals(tenant)]}


async def _create(file: OpenFile, tenant: str, principal: str, grants: list[Grant]) -> dict[str, Any]:
    from infraweave.store.admin import Admin

    record = file.record("create_principal", f"principal:{tenant}/{principal}", " ".join(map(str, grants)))
    return principal_to_json(
        await Admin(file.db).create_principal(tenant, principal, grants, file.now, record)
    )


async def _delete(file: OpenFile, tenant: str, principal: str) -> None:
    from infraweave.store.admin import Admin

    record = file.record("delete_principal", f"principal:{tenant}/{principal}")
    await Admin(file.db).delete_principal(tenant, principal, record)
