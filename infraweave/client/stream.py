"""Follows the events of a run over dropped connections and restarts of the server, each event once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import httpx
from attrs import define, field, frozen
from httpx_sse import EventSource

from infraweave.client.answers import ClientError, content, delays, passes

TERMINAL_TYPES = frozenset({"completed", "failed", "cancelled"})
#: A stream is silent for at most this long, in seconds: the server sends a heartbeat every 15 s.
STREAM_TIMEOUT = 60.0


@frozen
class Away:
    """The server cannot be reached just now; the stream goes on by itself after the event ``after``."""

    reason: str
    after: int
    #: Seconds until the next attempt.
    delay: float


#: Told of each failed attempt, and with None once the server is back.
Notify = Callable[[Away | None], None]


@define
class Follower:
    """Follows one run."""

    http: httpx.AsyncClient
    path: str
    #: The seq of the last event that was yielded.
    after: int
    payloads: bool
    notify: Notify | None
    #: Seconds before the first new attempt.
    reconnect: float
    _delays: Iterator[float] = field(init=False)
    _away: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._delays = delays(self.reconnect)

    async def events(self) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the events until the run's end.

        Raises:
            ClientError: the server refused the stream.
            httpx.TransportError: nothing can be sent to such an address, or such a token.
        """
        while True:
            reason, least = "it ended the stream", 0.0
            try:
                async with aclosing(self._connection()) as events:
                    async for event in events:
                        self.after = event["seq"]
                        yield event
                        if event["type"] in TERMINAL_TYPES:
                            return
            except _NothingLeft:
                return
            except (httpx.TransportError, ClientError) as error:
                if not passes(error):
                    raise
                reason, least = _reason(error), getattr(error, "retry_after", None) or 0.0
            await self._pause(reason, least)

    async def _pause(self, reason: str, least: float) -> None:
        delay = max(next(self._delays), least)
        self._away = True
        if self.notify is not None:
            self.notify(Away(reason, self.after, delay))
        await asyncio.sleep(delay)

    def _arrived(self) -> None:
        self._delays = delays(self.reconnect)
        if self._away and self.notify is not None:
            self.notify(None)
        self._away = False

    async def _connection(self) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the events of one connection, those that come again left out."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(self.after)}
        params = {"include": "payloads"} if self.payloads else {}
        async with self.http.stream(
            "GET", self.path, params=params, headers=headers, timeout=STREAM_TIMEOUT
        ) as answer:
            await _accept(answer)
            self._arrived()
            async with aclosing(EventSource(answer).aiter_sse()) as blocks:
                async for block in blocks:
                    event = json.loads(block.data)
                    if event["seq"] > self.after:
                        yield event


async def _accept(answer: httpx.Response) -> None:
    """Let a stream of events pass.

    Raises:
        _NothingLeft: there are no more.
        ClientError: it is something else.
    """
    if answer.status_code == httpx.codes.NO_CONTENT:
        raise _NothingLeft
    if not answer.is_success:
        await answer.aread()
        content(answer)
    if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
        message = f"HTTP {answer.status_code} that is no stream of events of an InfraWeave server"
        raise ClientError(answer.status_code, {"message": message})


def _reason(error: httpx.TransportError | ClientError) -> str:
    if isinstance(error, ClientError):
        return f"{error.code}: {error.message}"
    return str(error) or type(error).__name__


class _NothingLeft(Exception):
    """The cursor is at the terminal event."""
