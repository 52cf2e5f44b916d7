"""``infraweave tenants``: lists and creates tenants, at a server or in an unused database file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from infraweave.cli.offline import OpenFile, check_names, run_offline, server_or_file_options
from infraweave.cli.output import show_json, show_table
from infraweave.cli.remote import call_server
from infraweave.core.data.values import rfc3339

COLUMNS = ("tenant", "principals", "created_at")


@click.group(epilog="Example: infraweave tenants list")
def command() -> None:
    """List and create tenants."""


@command.command("list", epilog="Example: infraweave tenants list --json")
@server_or_file_options
def list_(url: str, token: str | None, db: Path | None, as_json: bool) -> None:
    """List tenants."""
    if db is not None:
        found = run_offline(db, _list)
    else:
        found = call_server(url, token, lambda client: client.request("GET", "/v1/admin/tenants"))
    if as_json:
        show_json(found)
    else:
        show_table(COLUMNS, found["tenants"])


@command.command(epilog="Example: infraweave tenants create acme")
@click.argument("tenant")
@server_or_file_options
def create(tenant: str, url: str, token: str | None, db: Path | None, as_json: bool) -> None:
    """Create TENANT. An existing tenant stays unchanged."""
    if db is not None:
        check_names(tenant=tenant)
        made = run_offline(db, lambda file: _create(file, tenant), create=True)
    else:
        body = {"tenant": tenant}
        made = call_server(url, token, lambda client: client.request("POST", "/v1/admin/tenants", body=body))
    if as_json:
        show_json(made)
    else:
        click.echo(made["tenant"])


async def _list(file: OpenFile) -> dict[str, Any]:
    from infraweave.store.admin import Admin

    return {"tenants": [_shown(row) for row in await Admin(file.db).tenants()]}


async def _create(file: OpenFile, tenant: str) -> dict[str, Any]:
    from infraweave.store.admin import Admin

    record = file.record("create_tenant", f"tenant:{tenant}")
    return _shown(await Admin(file.db).create_tenant(tenant, file.now, record))


def _shown(row: Any) -> dict[str, Any]:
    return {"tenant": row.tenant, "created_at": rfc3339(row.created_at), "principals": row.principals}
