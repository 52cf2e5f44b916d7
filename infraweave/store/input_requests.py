"""Reads of what people are being asked. Written by the journal with each append, as the agenda is."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from typing import Any, cast

from attrs import frozen

from infraweave.core.codec import decode_event, dumps
from infraweave.core.events import InputRequested
from infraweave.store.database import Database

#: A page ends early beyond so many bytes of events, but never before one.
PAGE_BYTES = 4 << 20


@frozen(kw_only=True)
class OpenRequest:
    """What a run asks; ``event_key`` is its place in the order of asking."""

    event_key: int
    run_id: str
    workflow_id: str
    workflow_version: str
    event: InputRequested


@frozen
class Page:
    """Some open requests, the oldest first; ``more``: there are others behind the last."""

    requests: Sequence[OpenRequest]
    more: bool


@frozen(eq=False)
class InputRequests:
    """The open input requests of a database. ``readable``: the workflows that are meant; None: all."""

    _db: Database

    async def list(
        self,
        tenant: str,
        workflow_id: str | None = None,
        *,
        readable: Collection[str] | None = None,
        limit: int = 50,
        after: int = 0,
    ) -> Page:
        """Return the oldest requests of a tenant behind an event key, of one workflow or of all."""
        name = "open_requests" if workflow_id is None else "open_requests_of_workflow"
        params = {**_params(tenant, workflow_id, readable), "after": after, "limit": limit + 1}
        rows = await self._db.read(name, {**params, "most": PAGE_BYTES})
        page = [row for row in rows[:limit] if row["data"] is not None]
        return Page([_request(row) for row in page], len(rows) > len(page))

    async def count(
        self, tenant: str, workflow_id: str | None = None, *, readable: Collection[str] | None = None
    ) -> int:
        """Return how many such requests there are."""
        row = await self._db.read_one("count_input_requests", _params(tenant, workflow_id, readable))
        return 0 if row is None else row[0]


def _params(tenant: str, workflow_id: str | None, readable: Collection[str] | None) -> dict[str, Any]:
    names = None if readable is None else dumps(sorted(readable)).decode()
    return {"tenant": tenant, "workflow_id": workflow_id, "readable": names}


def _request(row: sqlite3.Row) -> OpenRequest:
    event = decode_event(row["type"], row["data"], row["payload"])
    return OpenRequest(
        event_key=row["event_key"],
        run_id=row["run_id"],
        workflow_id=row["workflow_id"],
        workflow_version=row["workflow_version"],
        event=cast("InputRequested", event),
    )
