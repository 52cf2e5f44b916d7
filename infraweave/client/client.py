"""The client of a server: what can be asked for workflows and runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import Any, TypedDict, Unpack, cast
from urllib.parse import quote

from attrs import frozen

from infraweave.client.connection import Connection
from infraweave.client.run import Run

#: The server's limit of runs on one page.
_PAGE = 200


class RunFilters(TypedDict, total=False):
    """Which runs to list. Every filter is optional."""

    #: One state or several: ``"running"`` or ``("failed", "cancelled")``.
    status: str | Iterable[str]
    workflow_id: str
    workflow_version: str
    #: ``api``, ``console``, ``cli``, ``schedule``, ``webhook`` or ``subworkflow``.
    trigger: str
    #: ``key:value``.
    tag: str
    #: The id of the parent run, or ``none`` for runs without a parent.
    parent_run_id: str
    #: A time with its UTC offset. Queued runs have not started, so they do not match.
    started_after: datetime | str
    started_before: datetime | str


@frozen
class RunPage:
    """A page of runs, newest first. ``next_cursor`` is None on the last page."""

    runs: list[dict[str, Any]]
    next_cursor: str | None


class Client(Connection):
    """Starts, lists and follows runs, and manages workflows."""

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
        """Start a run. ``start_at`` is a time with its UTC offset; until then the run is queued.

        Raises:
            ClientError: the server refused it.
            ValueError: ``start_at`` has no UTC offset.
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
        """Start up to 1,000 runs in one transaction; return one result per item, in order.

        An item is the body of a start request (``workflow_id``, ``input``, …), and may have its own
        ``idempotency_key``. A result has the ``status`` code that a single start would have returned, and the
        ``run`` or the ``error``. A refused item does not affect the others.

        Raises:
            ClientError: the server refused the whole request.
            ValueError: a ``start_at`` has no UTC offset.
        """
        answer = await self.request("POST", "/v1/runs/batch", body={"runs": list(map(_item, items))})
        results: list[dict[str, Any]] = answer["results"]
        return results

    async def publish(self, document: Mapping[str, Any], *, activate: bool = False) -> dict[str, Any]:
        """Publish a definition document; return the server's response.

        Raises:
            ClientError: the server refused it; ``details`` names each fault and its path.
        """
        params = {"activate": "true"} if activate else None
        return cast(
            "dict[str, Any]", await self.request("POST", "/v1/workflows", body=document, params=params)
        )

    async def activate(self, workflow_id: str, version: str) -> dict[str, Any]:
        """Make this the version of runs that start without one; return the workflow."""
        path = f"/v1/workflows/{quote(workflow_id, safe='')}/active"
        return cast("dict[str, Any]", await self.request("PUT", path, body={"version": version}))

    async def workflow(self, workflow_id: str) -> dict[str, Any]:
        """Return a workflow: its versions, which one is active, and how many open runs each has."""
        path = f"/v1/workflows/{quote(workflow_id, safe='')}"
        return cast("dict[str, Any]", await self.request("GET", path))

    async def document(self, workflow_id: str, version: str) -> dict[str, Any]:
        """Return a version's definition document."""
        path = f"/v1/workflows/{quote(workflow_id, safe='')}/versions/{quote(version, safe='')}"
        return cast("dict[str, Any]", await self.request("GET", path))

    async def diff(self, workflow_id: str, from_version: str, to_version: str) -> list[dict[str, Any]]:
        """Return the differences between two versions: ``change``, ``node``, ``field`` and ``text`` each."""
        path = f"/v1/workflows/{quote(workflow_id, safe='')}/diff"
        answer = await self.request("GET", path, params={"from": from_version, "to": to_version})
        return cast("list[dict[str, Any]]", answer["differences"])

    def run(self, run_id: str) -> Run:
        """Return a run by its id, without asking the server."""
        return Run(self, run_id)

    async def schedules(self, workflow_id: str | None = None) -> list[dict[str, Any]]:
        """Return the schedules that the token may read, or those of one workflow."""
        answer = await self.request("GET", "/v1/schedules", params={"workflow_id": workflow_id})
        found: list[dict[str, Any]] = answer["schedules"]
        return found

    async def trigger(self, schedule_id: str) -> Run:
        """Start a run of a schedule now. ``schedule_id`` is ``workflow_id:name``.

        Raises:
            ClientError: the server refused it.
        """
        answer = await self.request("POST", f"/v1/schedules/{schedule_id}/trigger")
        return Run(self, answer["run_id"])

    # --- lists ---------------------------------------------------------------------------------------------

    async def runs(self, **filters: Unpack[RunFilters]) -> AsyncIterator[dict[str, Any]]:
        """Yield the runs that the token may read, newest first. Pages are requested as needed.

        Raises:
            ClientError: the server refused a filter.
            ValueError: a time has no UTC offset.
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
        """Return up to ``limit`` runs (None: all), newest first.

        ``cursor`` is the ``next_cursor`` of the previous call.

        Raises:
            ClientError: the server refused a filter or the cursor.
            ValueError: a time has no UTC offset.
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
    """Return a time as RFC 3339 text; text is returned unchanged."""
    if isinstance(when, str):
        return when
    if when.tzinfo is None:
        raise ValueError(f"{when!r} has no UTC offset; use one such as datetime.now(UTC)")
    return when.isoformat()
