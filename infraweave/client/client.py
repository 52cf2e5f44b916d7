"""A connection to one server with one token."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from datetime import datetime
from functools import cache
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack, cast
from urllib.parse import quote

import httpx
from attrs import frozen

from infraweave.client.answers import RECONNECT, ClientError, content, delays, passes
from infraweave.client.run import Run
from infraweave.client.stream import Follower, Notify

#: Runs that one page of a list holds at most: the server's limit.
_PAGE = 200


class RunFilters(TypedDict, total=False):
    """Which runs to list; what is left out restricts nothing."""

    #: One state or several, such as ``running`` or ``("failed", "cancelled")``.
    status: str | Iterable[str]
    workflow_id: str
    workflow_version: str
    #: ``api``, ``console``, ``cli``, ``schedule``, ``webhook`` or ``subworkflow``.
    trigger: str
    #: ``key:value``.
    tag: str
    #: A run, for those that it started; ``none``, for those that no run started.
    parent_run_id: str
    #: A time with its offset; queued runs have not started, so they are left out.
    started_after: datetime | str
    started_before: datetime | str


@frozen
class RunPage:
    """Runs, newest first, each as a list shows it; ``next_cursor`` is None where there are no more."""

    runs: list[dict[str, Any]]
    next_cursor: str | None


@cache
def _trusted() -> ssl.SSLContext:
    """Read the certificates to trust, once: that takes 20 ms."""
    return httpx.create_ssl_context(trust_env=False)


class Client:
    """A connection to one server with one token; over ``transport``, where the way there is no socket."""

    #: Seconds before the first new attempt to reach a server that went away; each later one takes longer.
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
        return content(answer)

    async def read(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Return what is at a path, however long the server is away: to read twice does no harm.

        Raises:
            ClientError: the server refused it, for another reason than that it is busy or stopping.
        """
        pauses = delays(self.reconnect)
        while True:
            try:
                return await self.request("GET", path, params=params)
            except (httpx.TransportError, ClientError) as error:
                if not passes(error):
                    raise
                await asyncio.sleep(next(pauses))

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

    def events(
        self, run_id: str, *, after: int = 0, payloads: bool = False, notify: Notify | None = None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the events of a run after a seq, each once and in order, until its end.

        Where the connection drops or the server is away, it connects again by itself, at first after half a
        second, later after up to 15 s, and goes on after the last event: for as long as it takes, so put it
        into ``asyncio.timeout`` where that may be too long. ``notify`` is called with ``Away`` after each
        failed attempt, and with None once the server is back. ``payloads``: inputs, outputs and signal
        payloads are in the events too.

        Raises:
            ClientError: the server refused the stream.
        """
        path = Run(self, run_id).path + "/events"
        return Follower(self._http, path, after, payloads, notify, self.reconnect).events()

    # --- lists ---------------------------------------------------------------------------------------------

    async def runs(self, **filters: Unpack[RunFilters]) -> AsyncIterator[dict[str, Any]]:
        """Yield the runs that may be read, newest first, page after page as they are consumed.

        Raises:
            ClientError: the server refused a filter.
            ValueError: a time has no offset.
        """
        cursor: str | None = None
        while True:
            page = await self._page(_PAGE, cursor, filters)
            for run in page.runs:
                yield run
            if (cursor := page.next_cursor) is None:
                return

    async def list_runs(
        self, *, limit: int | None = 50, cursor: str | None = None, **filters: Unpack[RunFilters]
    ) -> RunPage:
        """Return up to ``limit`` runs (None: all), newest first, from as many pages as that takes.

        ``cursor`` is the ``next_cursor`` of what was returned before.

        Raises:
            ClientError: the server refused a filter or the cursor.
            ValueError: a time has no offset.
        """
        runs: list[dict[str, Any]] = []
        while True:
            most = _PAGE if limit is None else min(_PAGE, limit - len(runs))
            page = await self._page(most, cursor, filters)
            runs += page.runs
            cursor = page.next_cursor
            if cursor is None or len(runs) == limit:
                return RunPage(runs, cursor)

    async def _page(self, limit: int, cursor: str | None, filters: RunFilters) -> RunPage:
        params: dict[str, Any] = {**filters, "limit": limit, "cursor": cursor}
        status = params.get("status")
        if status is not None and not isinstance(status, str):
            params["status"] = ",".join(status)
        for name in ("started_after", "started_before"):
            if params.get(name) is not None:
                params[name] = _time(params[name])
        answer = await self.request("GET", "/v1/runs", params=params)
        return RunPage(answer["runs"], answer["next_cursor"])


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
