"""Reads of open input requests. The journal writes their list with each append."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from typing import Any, cast

from infraweave.core.data.json_codec import dumps
from infraweave.core.lazy_records import frozen
from infraweave.core.run.event_codec import TYPES, decode_event
from infraweave.core.run.events import InputRequested
from infraweave.store.sqlite.database import Database

#: A page ends early beyond this many bytes of events, but never before one request.
PAGE_BYTES = 4 << 20


@frozen(kw_only=True)
class OpenRequest:
    """An open request of a run; ``event_key`` orders requests by time."""

    event_key: int
    run_id: str
    workflow_id: str
    workflow_version: str
    event: InputRequested


@frozen
class Page:
    """Some open requests, oldest first; ``more``: others follow."""

    requests: Sequence[OpenRequest]
    more: bool


@frozen(eq=False)
class InputRequests:
    """The open input requests of a database. ``workflows``: only requests of these; None: all."""

    _db: Database

    async def list(
        self, tenant: str, workflows: Collection[str] | None = None, *, limit: int = 50, after: int = 0
    ) -> Page:
        """Return the oldest requests of a tenant after an event key."""
        alone = workflows is not None and len(workflows) == 1
        name = "open_requests_of_workflow" if alone else "open_requests"
        params = {**_params(tenant, workflows), "after": after, "limit": limit + 1, "most": PAGE_BYTES}
        rows = await self._db.read(name, params)
        page = [row for row in rows[:limit] if row["data"] is not None]
        return Page([_request(row) for row in page], len(rows) > len(page))

    async def count(self, tenant: str, workflows: Collection[str] | None = None) -> int:
        """Return how many requests are open."""
        name = "count_open_requests" if workflows is None else "count_open_requests_of_workflows"
        row = await self._db.read_one(name, _params(tenant, workflows))
        return 0 if row is None else row[0]


def _params(tenant: str, workflows: Collection[str] | None) -> dict[str, Any]:
    names = None if workflows is None else dumps(sorted(workflows)).decode()
    return {"tenant": tenant, "workflows": names}


def _request(row: sqlite3.Row) -> OpenRequest:
    event = decode_event(TYPES[row["type"]], row["seq"], row["at"], row["data"], row["payload"])
    return OpenRequest(
        event_key=row["event_key"],
        run_id=row["run_id"],
        workflow_id=row["workflow_id"],
        workflow_version=row["workflow_version"],
        event=cast("InputRequested", event),
    )
