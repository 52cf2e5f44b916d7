"""Streams the events of a run. It reconnects by itself and yields each event once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import httpx
from attrs import define, field, frozen
from httpx_sse import EventSource

from infraweave.client.responses import ClientError, backoff, is_temporary, read_json

TERMINAL_TYPES = frozenset({"completed", "failed", "cancelled"})
#: Seconds of silence after which a stream counts as dead. The server sends a heartbeat every 15 s.
STREAM_TIMEOUT = 60.0


@frozen
class Away:
    """The server is unreachable. The stream will go on by itself after the event ``after``."""

    reason: str
    after: int
    #: Seconds until the next attempt to connect.
    delay: float


#: Called after each failed attempt to connect, and with None once the server is back.
Notify = Callable[[Away | None], None]


@define
class EventStream:
    """The event stream of one run."""

    http: httpx.AsyncClient
    path: str
    #: The seq of the last event yielded.
    after: int
    payloads: bool
    notify: Notify | None
    #: Seconds before the first retry.
    reconnect: float
    _delays: Iterator[float] = field(init=False)
    _away: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._delays = backoff(self.reconnect)

    async def events(self) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the events until the run ends.

        Raises:
            ClientError: the server refused the stream.
            httpx.TransportError: the address or the token is not valid.
        """
        while True:
            reason, least = "the server ended the stream", 0.0
            try:
                async with aclosing(self._connection()) as events:
                    async for event in events:
                        self.after = event["seq"]
                        yield event
                        if event["type"] in TERMINAL_TYPES:
                            return
            except _EndOfStream:
                return
            except (httpx.TransportError, ClientError) as error:
                if not is_temporary(error):
                    raise
                reason, least = _reason(error), getattr(error, "retry_after", None) or 0.0
            await self._wait(reason, least)

    async def _wait(self, reason: str, least: float) -> None:
        delay = max(next(self._delays), least)
        self._away = True
        if self.notify is not None:
            self.notify(Away(reason, self.after, delay))
        await asyncio.sleep(delay)

    def _connected(self) -> None:
        self._delays = backoff(self.reconnect)
        if self._away and self.notify is not None:
            self.notify(None)
        self._away = False

    async def _connection(self) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the events of one connection, except those already yielded."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(self.after)}
        params = {"include": "payloads"} if self.payloads else {}
        async with self.http.stream(
            "GET", self.path, params=params, headers=headers, timeout=STREAM_TIMEOUT
        ) as response:
            await _check(response)
            self._connected()
            async with aclosing(EventSource(response).aiter_sse()) as messages:
                async for message in messages:
                    event = json.loads(message.data)
                    if event["seq"] > self.after:
                        yield event


async def _check(response: httpx.Response) -> None:
    """Check that the response is an event stream.

    Raises:
        _EndOfStream: there are no more events.
        ClientError: it is something else.
    """
    if response.status_code == httpx.codes.NO_CONTENT:
        raise _EndOfStream
    if not response.is_success:
        await response.aread()
        read_json(response)
    if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
        message = f"HTTP {response.status_code}, but not an InfraWeave event stream"
        raise ClientError(response.status_code, {"message": message})


def _reason(error: httpx.TransportError | ClientError) -> str:
    if isinstance(error, ClientError):
        return f"{error.code}: {error.message}"
    return str(error) or type(error).__name__


class _EndOfStream(Exception):
    """The terminal event was already yielded."""
