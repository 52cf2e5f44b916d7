"""``infraweave tokens``: creates, lists and revokes tokens, at a server or in an unused database file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from infraweave.cli.offline import OpenFile, check_names, format_time, run_offline, server_or_file_options
from infraweave.cli.output import USAGE, fail, show_json, show_table
from infraweave.cli.remote import call_server
from infraweave.core.access import Grant, parse_grant
from infraweave.core.data.values import to_seconds

Json = dict[str, Any]

COLUMNS = (
    "token_id",
    "tenant",
    "principal",
    "grants",
    "created_at",
    "expires_at",
    "revoked_at",
    "last_used_at",
)


@click.group(epilog="Example: infraweave tokens list")
def command() -> None:
    """Create, list and revoke API tokens."""


@command.command(
    epilog="Example: infraweave tokens create --tenant default --principal ci --grant execute:workflow:*"
)
@click.option("--tenant", required=True, help="Created if it does not exist.")
@click.option("--principal", required=True, help="Created if it does not exist.")
@click.option("--grant", "grants", multiple=True, metavar="ACTION:RESOURCE", help="Repeatable.")
@click.option("--expires", metavar="DURATION", help="Such as 90d. Default: never.")
@server_or_file_options
def create(
    tenant: str,
    principal: str,
    grants: tuple[str, ...],
    expires: str | None,
    url: str,
    token: str | None,
    db: Path | None,
    as_json: bool,
) -> None:
    """Create a token and print it. It cannot be shown again."""
    wanted, life = read_grants(grants), _lifetime(expires)
    if db is not None:
        check_names(tenant=tenant, principal=principal)
        made = run_offline(
            db, lambda file: _create_in_file(file, tenant, principal, wanted, life), create=True
        )
    else:
        body = {"tenant": tenant, "principal": principal, "grants": list(grants), "expires": expires}
        made = call_server(url, token, lambda client: client.request("POST", "/v1/tokens", body=body))
    if as_json:
        show_json(made)
    else:
        click.echo(made["token"])


@command.command("list", epilog="Example: infraweave tokens list --json")
@server_or_file_options
def list_(url: str, token: str | None, db: Path | None, as_json: bool) -> None:
    """List tokens, without their secret parts."""
    if db is not None:
        found = run_offline(db, _list_in_file)
    else:
        found = call_server(url, token, lambda client: client.request("GET", "/v1/tokens"))
    if as_json:
        show_json(found)
    else:
        show_table(COLUMNS, found["tokens"])


@command.command(epilog="Example: infraweave tokens revoke tok_01J9ZK3V7RC5D8E2F4G6H8J0KM")
@click.argument("token_id")
@server_or_file_options
def revoke(token_id: str, url: str, token: str | None, db: Path | None, as_json: bool) -> None:
    """Revoke a token. Its next request fails, and its open streams end."""
    if db is not None:
        gone = run_offline(db, lambda file: _revoke_in_file(file, token_id))
    else:
        path = f"/v1/tokens/{token_id}"
        gone = call_server(url, token, lambda client: client.request("DELETE", path))
    if as_json:
        show_json(gone)
    else:
        click.echo(f"{gone['token_id']} revoked at {gone['revoked_at']}")


def read_grants(texts: tuple[str, ...]) -> list[Grant]:
    """Parse grants; exit with an error if one is not valid."""
    try:
        return [parse_grant(text) for text in texts]
    except ValueError as error:
        fail(f"--grant {error}", code=USAGE)


def _lifetime(expires: str | None) -> int | None:
    """Parse a duration into milliseconds."""
    try:
        return None if expires is None else round(to_seconds(expires) * 1000)
    except ValueError as error:
        fail(f"--expires {error}", code=USAGE)


# --- in a file ---------------------------------------------------------------------------------------------


async def _create_in_file(
    file: OpenFile, tenant: str, principal: str, grants: list[Grant], life: int | None
) -> Json:
    from infraweave.core.access import make_token, token_hash
    from infraweave.engine import clock
    from infraweave.store.principals import NewTokenRow, Principals

    text = make_token(clock.token_secret())
    new = NewTokenRow(
        token_id=f"tok_{clock.ulid(file.now)}",
        token_hash=token_hash(text),
        expires_at=None if life is None else file.now + life,
    )
    record = file.record("create_token", f"token:{new.token_id}", f"for {tenant}/{principal}")
    row = await Principals(file.db).create_token(tenant, principal, grants, new, file.now, record)
    return {
        "token": text,
        "token_id": row.token_id,
        "tenant": row.tenant,
        "principal": row.principal,
        "grants": sorted(map(str, row.grants)),
        "expires_at": format_time(row.expires_at),
    }


async def _list_in_file(file: OpenFile) -> Json:
    from infraweave.store.principals import Principals

    return {"tokens": [_shown(row) for row in await Principals(file.db).list_tokens()]}


async def _revoke_in_file(file: OpenFile, token_id: str) -> Json:
    from infraweave.store.principals import Principals

    record = file.record("revoke_token", f"token:{token_id}")
    return _shown(await Principals(file.db).revoke(token_id, file.now, record=record))


def _shown(row: Any) -> Json:
    times = ("created_at", "expires_at", "revoked_at", "last_used_at")
    return {
        "token_id": row.token_id,
        "tenant": row.tenant,
        "principal": row.principal,
        "grants": sorted(map(str, row.grants)),
        **{name: format_time(getattr(row, name)) for name in times},
    }
