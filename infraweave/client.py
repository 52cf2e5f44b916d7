"""The HTTP client: what a program, a test or the command line asks of a server. Imports nothing of it.

``events`` reconnects by itself and yields each event once; ``result`` waits for the end.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from datetime import datetime
from functools import cache
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import quote

import httpx
from attrs import frozen
from httpx_sse import EventSource

TERMINAL_TYPES = frozenset({"completed", "failed", "cancelled"})
#: Seconds between attempts to reach a server that went away in the middle of a stream.
RECONNECT = 1.0
#: A stream is silent for at most this long: the server sends a heartbeat every 15 s.
STREAM_TIMEOUT = 60.0


@cache
def _trusted() -> ssl.SSLContext:
    """Read the certificates to trust, once: that takes 20 ms."""
    return httpx.create_ssl_context(trust_env=False)


class ClientError(Exception):
    """The server refused a request: the fields of its error envelope."""

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(error.get("code", "unknown"))
        self.message = str(error.get("message", f"HTTP {status}"))
        self.request_id = error.get("request_id")
        self.details: list[dict[str, str]] = list(error.get("details", ()))
        super().__init__(f"{self.code}: {self.message}")


class RunFailed(Exception):
    """The run ended without a result; ``error`` is the run's."""

    def __init__(self, run_id: str, state: str, error: Mapping[str, Any]) -> None:
        self.run_id, self.state, self.error = run_id, state, dict(error)
        super().__init__(f"{run_id} {state}: {error.get('message')}")


class Client:
    """A connection to one server with one token; over ``transport``, where the way there is no socket."""

    #: Seconds between attempts to reach the server again.
    reconnect = RECONNECT

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = 90.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        # Proxies of the environment are for the outside; a server on this machine is reached directly.
        self._http = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            timeout=timeout,
            trust_env=False,
            verify=_trusted(),
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
        """Send a request and return the JSON of the answer.

        Raises:
            ClientError: the server refused it.
            httpx.TransportError: the server cannot be reached.
        """
        sent = {"json": body} if body is not None else {}
        given = {key: value for key, value in (params or {}).items() if value is not None}
        answer = await self._http.request(method, path, params=given, headers=headers, **sent)
        return _content(answer)

    async def start(
        self,
        workflow_id: str,
        input: Any = None,  # noqa: A002 - the wire's word
        *,
        version: str | None = None,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        start_at: datetime | str | None = None,
    ) -> Run:
        """Start a run; one with ``start_at``, a time with its offset, is queued until then.

        Raises:
            ClientError: the server refused it.
            ValueError: ``start_at`` has no offset.
        """
        body: dict[str, Any] = {"workflow_id": workflow_id, "input": {} if input is None else input}
        if version is not None:
            body["workflow_version"] = version
        if tags:
            body["tags"] = dict(tags)
        if start_at is not None:
            body["start_at"] = _time(start_at)
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else None
        answer = await self.request("POST", "/v1/runs", body=body, headers=headers)
        return Run(self, answer["run_id"])

    async def start_many(self, items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Start up to 1,000 runs in one transaction; return what became of each, in order.

        An item is the body of a start (``workflow_id``, ``input``, …) and may have an ``idempotency_key`` of
        its own. A result has the ``status`` that a single start would have been answered with, and the
        ``run`` or the ``error``. A refused item holds up no other.

        Raises:
            ClientError: the server refused the request as a whole.
            ValueError: a ``start_at`` has no offset.
        """
        answer = await self.request("POST", "/v1/runs/batch", body={"runs": list(map(_item, items))})
        results: list[dict[str, Any]] = answer["results"]
        return results

    async def publish(self, document: Mapping[str, Any], *, activate: bool = False) -> dict[str, Any]:
        """Publish a definition document; return what became of it.

        Raises:
            ClientError: the server refused it; ``details`` name each fault and its place.
        """
        params = {"activate": "true"} if activate else None
        return cast(
            "dict[str, Any]", await self.request("POST", "/v1/workflows", body=document, params=params)
        )

    async def activate(self, workflow_id: str, version: str) -> dict[str, Any]:
        """Let runs that start without a version use this one; return the workflow."""
        path = f"/v1/workflows/{quote(workflow_id, safe='')}/active"
        return cast("dict[str, Any]", await self.request("PUT", path, body={"version": version}))

    async def workflow(self, workflow_id: str) -> dict[str, Any]:
        """Return a workflow's versions, which is active, and the open runs of each."""
        path = f"/v1/workflows/{quote(workflow_id, safe='')}"
        return cast("dict[str, Any]", await self.request("GET", path))

    async def document(self, workflow_id: str, version: str) -> dict[str, Any]:
        """Return a version's definition document."""
        path = f"/v1/workflows/{quote(workflow_id, safe='')}/versions/{quote(version, safe='')}"
        return cast("dict[str, Any]", await self.request("GET", path))

    async def diff(self, workflow_id: str, from_version: str, to_version: str) -> list[dict[str, Any]]:
        """Return every difference of two versions; each has ``change``, ``node``, ``field`` and ``text``."""
        path = f"/v1/workflows/{quote(workflow_id, safe='')}/diff"
        answer = await self.request("GET", path, params={"from": from_version, "to": to_version})
        return cast("list[dict[str, Any]]", answer["differences"])

    def run(self, run_id: str) -> Run:
        """Return a run by its id; nothing is asked of the server yet."""
        return Run(self, run_id)

    async def schedules(self, workflow_id: str | None = None) -> list[dict[str, Any]]:
        """Return the schedules that may be read, or those of one workflow."""
        answer = await self.request("GET", "/v1/schedules", params={"workflow_id": workflow_id})
        found: list[dict[str, Any]] = answer["schedules"]
        return found

    async def trigger(self, schedule_id: str) -> Run:
        """Start a run of a schedule (``workflow_id:name``) now.

        Raises:
            ClientError: the server refused it.
        """
        answer = await self.request("POST", f"/v1/schedules/{schedule_id}/trigger")
        return Run(self, answer["run_id"])

    async def events(
        self, run_id: str, *, after: int = 0, payloads: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the events of a run after a seq, each once, until its end; reconnect as often as needed.

        Raises:
            ClientError: the server refused the stream.
        """
        while True:
            try:
                # Closed at once where the caller leaves: the connection and the server's stream end with it.
                async with aclosing(self._stream(run_id, after, payloads)) as events:
                    async for event in events:
                        after = event["seq"]
                        yield event
                        if event["type"] in TERMINAL_TYPES:
                            return
                await asyncio.sleep(self.reconnect)  # the server ended the stream: it is shutting down
            except httpx.TransportError:
                await asyncio.sleep(self.reconnect)
            except ClientError as error:
                if error.status != httpx.codes.SERVICE_UNAVAILABLE:
                    raise
                await asyncio.sleep(self.reconnect)
            except _NothingLeft:
                return

    async def _stream(self, run_id: str, after: int, payloads: bool) -> AsyncGenerator[dict[str, Any], None]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        params = {"include": "payloads"} if payloads else {}
        path = f"/v1/runs/{run_id}/events"
        async with self._http.stream(
            "GET", path, params=params, headers=headers, timeout=STREAM_TIMEOUT
        ) as answer:
            if answer.status_code == httpx.codes.NO_CONTENT:
                raise _NothingLeft
            if answer.is_error:
                await answer.aread()
                _content(answer)
            async for event in EventSource(answer).aiter_sse():
                yield json.loads(event.data)


@frozen
class Run:
    """One run of a server."""

    client: Client
    run_id: str

    @property
    def path(self) -> str:
        """Where the run is."""
        return f"/v1/runs/{self.run_id}"

    async def show(self) -> dict[str, Any]:
        """Return the run as it is now."""
        shown: dict[str, Any] = await self.client.request("GET", self.path)
        return shown

    async def history(self) -> list[dict[str, Any]]:
        """Return one row per attempt, all pages."""
        rows: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = await self.client.request("GET", f"{self.path}/history", params={"cursor": cursor})
            rows += page["history"]
            cursor = page["next_cursor"]
            if cursor is None:
                return rows

    def events(self, *, after: int = 0, payloads: bool = False) -> AsyncIterator[dict[str, Any]]:
        """Yield the run's events until its end; see ``Client.events``."""
        return self.client.events(self.run_id, after=after, payloads=payloads)

    async def result(self) -> Any:
        """Wait for the end and return the result.

        Raises:
            RunFailed: the run failed or was cancelled.
        """
        async for _ in self.events():
            pass
        answer = await self.client.request("GET", f"{self.path}/result")
        if answer["state"] != "succeeded":
            raise RunFailed(self.run_id, answer["state"], answer["error"])
        return answer["result"]

    async def signal(
        self, name: str, payload: Any = None, *, request_id: str | None = None
    ) -> dict[str, Any]:
        """Send a signal; return what the server answered."""
        body = {"payload": payload} if request_id is None else {"payload": payload, "request_id": request_id}
        answer: dict[str, Any] = await self.client.request("POST", f"{self.path}/signals/{name}", body=body)
        return answer

    async def cancel(self, reason: str | None = None) -> dict[str, Any]:
        """Ask the run to stop and clean up; return it as it is then."""
        body = {} if reason is None else {"reason": reason}
        answer: dict[str, Any] = await self.client.request("POST", f"{self.path}/cancel", body=body)
        return answer

    async def terminate(self, reason: str | None = None) -> dict[str, Any]:
        """End the run by force; return it as it is then."""
        body = {} if reason is None else {"reason": reason}
        answer: dict[str, Any] = await self.client.request("POST", f"{self.path}/terminate", body=body)
        return answer


class _NothingLeft(Exception):
    """The cursor is at the terminal event."""


def _item(item: Mapping[str, Any]) -> dict[str, Any]:
    sent = dict(item)
    if sent.get("start_at") is not None:
        sent["start_at"] = _time(sent["start_at"])
    return sent


def _time(when: datetime | str) -> str:
    """Return a time as the wire has it; text passes as it is."""
    if isinstance(when, str):
        return when
    if when.tzinfo is None:
        raise ValueError(f"{when!r} says no offset; give a time with its zone, such as datetime.now(UTC)")
    return when.isoformat()


def _content(answer: httpx.Response) -> Any:
    if not answer.is_error:
        return answer.json() if answer.content else None
    try:
        error = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        error = {"message": f"HTTP {answer.status_code} that is no InfraWeave answer: {answer.text[:200]}"}
    raise ClientError(answer.status_code, error)
