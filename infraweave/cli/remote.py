"""How client commands reach a server, and what becomes of its refusals: exit codes and one line."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from infraweave.cli.output import DENIED, FAILED, UNREACHABLE, USAGE, echo_err, echo_error, fail

if TYPE_CHECKING:
    import httpx

    from infraweave.client import Away, Client

DEFAULT_URL = "http://127.0.0.1:8470"
_EXITS = {401: DENIED, 403: DENIED, 400: USAGE}


def connection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --url and --token, which INFRAWEAVE_URL and INFRAWEAVE_TOKEN serve for all client commands."""
    command = click.option("--token", envvar="INFRAWEAVE_TOKEN", help="Or INFRAWEAVE_TOKEN.")(command)
    return click.option("--url", envvar="INFRAWEAVE_URL", default=DEFAULT_URL, show_default=True)(command)


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --json and the client options."""
    command = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)
    return connection_options(command)


def call_server(url: str, token: str | None, ask: Callable[[Client], Awaitable[Any]]) -> Any:
    """Return what a server answers; end the process with the right code where it refuses."""
    if not token:
        fail("no token: give --token or set INFRAWEAVE_TOKEN", code=DENIED)
    if not (token.isascii() and token.isprintable()):
        fail("the token has characters that no token has; copy it anew", code=DENIED)
    return asyncio.run(_call_server(url, token, ask))


async def _call_server(url: str, token: str, ask: Callable[[Client], Awaitable[Any]]) -> Any:
    import httpx

    from infraweave.client import Client, ClientError

    try:
        _check(httpx.URL(url))
        async with Client(url, token) as client:
            return await ask(client)
    except ClientError as error:
        faults = [(detail["path"], detail["message"]) for detail in error.details]
        echo_error(f"{error.code}: {error.message}", faults)
        sys.exit(_EXITS.get(error.status, FAILED))
    except (httpx.TransportError, httpx.InvalidURL) as error:
        fail(f"{url} cannot be reached ({_why(error)}); is `infraweave serve` running?", code=UNREACHABLE)
    except UnicodeEncodeError:
        fail("what was given is no text that JSON can hold", code=USAGE)


def _check(url: httpx.URL) -> None:
    """Refuse what httpx takes for an address and trips over when it connects.

    Raises:
        InvalidURL: it is none.
    """
    import httpx

    try:
        host, port = url.host, url.port
    except UnicodeError as error:
        raise httpx.InvalidURL(f"its host is none: {error}") from error
    if not host or not 0 < (port or 80) < 2**16:
        raise httpx.InvalidURL("expected http://HOST:PORT")


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__


class Absence:
    """Says on stderr that the server is away, once, and that it is back."""

    def __init__(self) -> None:
        self._last: Away | None = None

    def __call__(self, away: Away | None) -> None:
        """Take note of a failed attempt, or of the server's return."""
        if away is None and self._last is not None:
            echo_err(f"The server is back; going on after event {self._last.after}.")
        elif away is not None and self._last is None:
            echo_err(f"The server is away ({away.reason}); trying again until it is back.")
        self._last = away
