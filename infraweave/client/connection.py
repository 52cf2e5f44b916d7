"""An HTTP connection to one server: requests, retried reads, and event streams."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from functools import cache
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from infraweave.client.responses import RECONNECT, ClientError, backoff, is_temporary, read_json
from infraweave.client.stream import EventStream, Notify


@cache
def _certificates() -> ssl.SSLContext:
    """Load the trusted certificates once, because that takes 20 ms."""
    return httpx.create_ssl_context(trust_env=False)


def run_path(run_id: str) -> str:
    """Return the URL path of a run."""
    return f"/v1/runs/{quote(run_id, safe='')}"


class Connection:
    """A connection to one server with one token. ``transport`` replaces the network."""

    #: Seconds before the first retry when the server is unreachable; later delays are longer.
    reconnect = RECONNECT

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = 90.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        # trust_env=False: proxies of the environment must not come between us and a server on this machine.
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=timeout,
            trust_env=False,
            verify=_certificates(),
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request and return the JSON of the response.

        Raises:
            ClientError: the server refused the request.
            httpx.TransportError: the server cannot be reached.
        """
        sent = {"json": body} if body is not None else {}
        given = {key: value for key, value in (params or {}).items() if value is not None}
        response = await self._http.request(method, path, params=given, headers=headers, **sent)
        return read_json(response)

    async def read(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Send a GET request, and retry it for as long as the server is away.

        Raises:
            ClientError: the server refused the request, and not because it is busy or stopping.
        """
        delays = backoff(self.reconnect)
        while True:
            try:
                return await self.request("GET", path, params=params)
            except (httpx.TransportError, ClientError) as error:
                if not is_temporary(error):
                    raise
                await asyncio.sleep(next(delays))

    def events(
        self, run_id: str, *, after: int = 0, payloads: bool = False, notify: Notify | None = None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the events of a run after the seq ``after``, each once and in order, until the run ends.

        When the connection drops or the server is away, the stream reconnects by itself and goes on after the
        last event. It waits half a second before the first retry, later up to 15 s, and never gives up; use
        ``asyncio.timeout`` to limit it. ``notify`` is called with ``Away`` after each failed attempt, and
        with None once the server is back. ``payloads`` adds inputs, outputs and signal payloads.

        Raises:
            ClientError: the server refused the stream.
        """
        path = f"{run_path(run_id)}/events"
        return EventStream(self._http, path, after, payloads, notify, self.reconnect).events()
