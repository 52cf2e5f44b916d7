"""``infraweave tokens``: create, list and revoke, at a server or in a file that nobody serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from infraweave.cli.connect import client_options, connected
from infraweave.cli.output import USAGE, fail, show_json, show_table
from infraweave.core.access import Grant, parse_grant
from infraweave.core.values import rfc3339, seconds
from infraweave.errors import StartupError

T = TypeVar("T")
Json = dict[str, Any]

COLUMNS = ("token_id", "tenant", "principal", "grants", "created_at", "expires_at", "revoked_at")


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where tokens are: a server, or a file; and how they are shown."""
    command = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)
    command = click.option(
        "--db", type=click.Path(path_type=Path), help="A file that nobody serves, in place of a server."
    )(command)
    return client_options(command)


@click.group(epilog="Example: infraweave tokens list")
def command() -> None:
    """Create, list and revoke API tokens."""


@command.command(
    epilog="Example: infraweave tokens create --tenant default --principal ci --grant execute:workflow:*"
)
@click.option("--tenant", required=True, help="Made if it is new.")
@click.option("--principal", required=True, help="Made if it is new.")
@click.option("--grant", "grants", multiple=True, metavar="ACTION:RESOURCE", help="May be given many times.")
@click.option("--expires", metavar="DURATION", help="Such as 90d; for ever by default.")
@target_options
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
    """Create a token; it is printed this once."""
    wanted, life = _grants(grants), _life(expires)
    if db is not None:
        made = _run(_create_in_file(db, tenant, principal, wanted, life))
    else:
        body = {"tenant": tenant, "principal": principal, "grants": list(grants), "expires": expires}
        made = connected(url, token, lambda client: client.request("POST", "/v1/tokens", body=body))
    if as_json:
        show_json(made)
    else:
        click.echo(made["token"])


@command.command("list", epilog="Example: infraweave tokens list --json")
@target_options
def list_(url: str, token: str | None, db: Path | None, as_json: bool) -> None:
    """List tokens, without what makes them work."""
    if db is not None:
        found = _run(_list_in_file(db))
    else:
        found = connected(url, token, lambda client: client.request("GET", "/v1/tokens"))
    if as_json:
        show_json(found)
    else:
        show_table(COLUMNS, found["tokens"])


@command.command(epilog="Example: infraweave tokens revoke tok_01J9ZK3V7RC5D8E2F4G6H8J0KM")
@click.argument("token_id")
@target_options
def revoke(token_id: str, url: str, token: str | None, db: Path | None, as_json: bool) -> None:
    """Revoke a token, from its next request on."""
    if db is not None:
        gone = _run(_revoke_in_file(db, token_id))
    else:
        path = f"/v1/tokens/{token_id}"
        gone = connected(url, token, lambda client: client.request("DELETE", path))
    if as_json:
        show_json(gone)
    else:
        click.echo(f"{gone['token_id']} revoked at {gone['revoked_at']}")


def _grants(texts: tuple[str, ...]) -> list[Grant]:
    try:
        return [parse_grant(text) for text in texts]
    except ValueError as error:
        fail(f"--grant {error}", code=USAGE)


def _life(expires: str | None) -> int | None:
    """Return a duration in milliseconds."""
    try:
        return None if expires is None else round(seconds(expires) * 1000)
    except ValueError as error:
        fail(f"--expires {error}", code=USAGE)


# --- in a file ---------------------------------------------------------------------------------------------


def _run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def _create_in_file(
    path: Path, tenant: str, principal: str, grants: list[Grant], life: int | None
) -> Json:
    from infraweave.core.access import make_token, token_hash
    from infraweave.engine import clock
    from infraweave.store.database import Database
    from infraweave.store.principals import NewToken, Principals

    now = clock.SystemClock().now()
    text = make_token(clock.token_secret())
    expires_at = None if life is None else now + life
    new = NewToken(token_id=f"tok_{clock.ulid(now)}", token_hash=token_hash(text), expires_at=expires_at)
    async with Database.open(path, now=now) as db:
        row = await Principals(db).create_token(tenant, principal, grants, new, now)
    return {
        "token": text,
        "token_id": row.token_id,
        "tenant": row.tenant,
        "principal": row.principal,
        "grants": sorted(map(str, row.grants)),
        "expires_at": _time(row.expires_at),
    }


async def _list_in_file(path: Path) -> Json:
    from infraweave.store.database import Database
    from infraweave.store.principals import Principals

    _must_exist(path)
    async with Database.open(path) as db:
        return {"tokens": [_shown(row) for row in await Principals(db).list_tokens()]}


async def _revoke_in_file(path: Path, token_id: str) -> Json:
    from infraweave.engine.clock import SystemClock
    from infraweave.store.database import Database
    from infraweave.store.principals import Principals

    _must_exist(path)
    async with Database.open(path) as db:
        return _shown(await Principals(db).revoke(token_id, SystemClock().now()))


def _must_exist(path: Path) -> None:
    if not path.exists():
        raise StartupError(f"{path}: no such file")


def _shown(row: Any) -> Json:
    return {
        "token_id": row.token_id,
        "tenant": row.tenant,
        "principal": row.principal,
        "grants": sorted(map(str, row.grants)),
        "created_at": _time(row.created_at),
        "expires_at": _time(row.expires_at),
        "revoked_at": _time(row.revoked_at),
    }


def _time(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)
