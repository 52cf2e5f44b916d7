"""How client commands reach a server, and what becomes of its refusals: exit codes and one line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from infraweave.cli.output import DENIED, FAILED, UNREACHABLE, USAGE, fail

if TYPE_CHECKING:
    from infraweave.client import Client

DEFAULT_URL = "http://127.0.0.1:8470"
_EXITS = {401: DENIED, 403: DENIED, 400: USAGE}


def client_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --url and --token, which INFRAWEAVE_URL and INFRAWEAVE_TOKEN serve for all client commands."""
    command = click.option("--token", envvar="INFRAWEAVE_TOKEN", help="Or INFRAWEAVE_TOKEN.")(command)
    return click.option("--url", envvar="INFRAWEAVE_URL", default=DEFAULT_URL, show_default=True)(command)


def connected(url: str, token: str | None, ask: Callable[[Client], Awaitable[Any]]) -> Any:
    """Return what a server answers; end the process with the right code where it refuses."""
    if not token:
        fail("no token: give --token or set INFRAWEAVE_TOKEN", code=DENIED)
    return asyncio.run(_connected(url, token, ask))


async def _connected(url: str, token: str, ask: Callable[[Client], Awaitable[Any]]) -> Any:
    import httpx

    from infraweave.client import Client, ClientError

    async with Client(url, token) as client:
        try:
            return await ask(client)
        except ClientError as error:
            fail(f"{error.code}: {error.message}", code=_EXITS.get(error.status, FAILED))
        except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            fail(f"{url} cannot be reached ({error}); is `infraweave serve` running?", code=UNREACHABLE)
