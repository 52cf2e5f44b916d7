"""Calls a server, and turns its errors into exit codes and error lines."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from infraweave.cli.options import json_option
from infraweave.cli.output import DENIED, FAILED, UNREACHABLE, USAGE, echo_err, echo_error, fail

if TYPE_CHECKING:
    import httpx

    from infraweave.client import Away, Client

DEFAULT_URL = "http://127.0.0.1:8470"
_EXITS = {401: DENIED, 403: DENIED, 400: USAGE}


def connection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --url and --token, which INFRAWEAVE_URL and INFRAWEAVE_TOKEN set for all commands."""
    command = click.option(
        "--token", envvar="INFRAWEAVE_TOKEN", help="The API token; or set INFRAWEAVE_TOKEN."
    )(command)
    return click.option(
        "--url",
        envvar="INFRAWEAVE_URL",
        default=DEFAULT_URL,
        show_default=True,
        help="The server; or set INFRAWEAVE_URL.",
    )(command)


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --url, --token and --json."""
    return connection_options(json_option(command))


def call_server(url: str, token: str | None, ask: Callable[[Client], Awaitable[Any]]) -> Any:
    """Return the result of ``ask``; exit with an error line and its exit code if the server refuses."""
    if not token:
        fail("no token: give --token or set INFRAWEAVE_TOKEN", code=DENIED)
    if not (token.isascii() and token.isprintable()):
        fail("the token contains invalid characters; copy it again", code=DENIED)
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
        fail("an argument contains text that JSON cannot encode", code=USAGE)


def _check(url: httpx.URL) -> None:
    """Check for invalid addresses that httpx accepts, only to fail when it connects.

    Raises:
        InvalidURL: the address is not valid.
    """
    import httpx

    try:
        host, port = url.host, url.port
    except UnicodeError as error:
        raise httpx.InvalidURL(f"the host is not valid: {error}") from error
    if not host or not 0 < (port or 80) < 2**16:
        raise httpx.InvalidURL("expected http://HOST:PORT")


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__


class OutageNotice:
    """Reports on stderr, once each, that the server is away and that it is back."""

    def __init__(self) -> None:
        self._last: Away | None = None

    def __call__(self, away: Away | None) -> None:
        """Handle a failed attempt to connect, or None when the server is back."""
        if away is None and self._last is not None:
            echo_err(f"The server is back; continuing after event {self._last.after}.")
        elif away is not None and self._last is None:
            echo_err(f"The server is unreachable ({away.reason}); retrying until it is back.")
        self._last = away
