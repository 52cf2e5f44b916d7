"""Reads and rebuilds the index of runs. The journal keeps it up to date."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, get_args

from attrs import asdict, field

from infraweave.core.data.json_codec import dumps, loads
from infraweave.core.lazy_records import frozen
from infraweave.core.run.event_codec import TYPES, decode_event
from infraweave.core.run.events import Event, RunError, State, Trigger
from infraweave.store.projection import index_changes
from infraweave.store.sqlite.batch import write_rows
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.statements import QUERIES, as_dict

#: A cursor before the newest run.
NEWEST = 2**63 - 1


@frozen(kw_only=True)
class RunRow:
    """The index row of a run; times in milliseconds."""

    run_key: int
    run_id: str
    tenant: str
    workflow_id: str
    workflow_version: str
    trigger: Trigger
    state: State
    created_at: int
    started_at: int | None
    finished_at: int | None
    cancel_requested: bool
    forced: bool
    error: RunError | None
    tokens: int
    cost_micro_usd: int
    by: str
    parent_run_id: str | None
    trace_id: str
    parent_span_id: str | None
    trace_flags: int
    tracestate: str
    idempotency_key: str | None
    body_digest: str | None
    tags: dict[str, str]
    #: The earliest start.
    start_at: int | None = None
    #: The concurrency key by which limits count the run.
    lane: str | None = None


class ListedRow(NamedTuple):
    """A run as lists show it, as it is stored: columns by their places, because a page has up to 200 rows."""

    run_key: int
    run_id: str
    state: State
    workflow_id: str
    workflow_version: str
    trigger: Trigger
    #: JSON, like ``error``.
    tags: str
    created_at: int
    started_at: int | None
    finished_at: int | None
    error: str | None
    parent_run_id: str | None
    trace_id: str
    start_at: int | None
    cancel_requested: int
    forced: int
    last_seq: int | None
    tokens: int
    cost_micro_usd: int


@frozen(kw_only=True)
class RunFilters:
    """Which runs to list; None means all."""

    states: Collection[State] | None = None
    workflow_id: str | None = None
    workflow_version: str | None = None
    trigger: Trigger | None = None
    #: A key and its value.
    tag: tuple[str, str] | None = field(default=None)
    started_after: int | None = None
    started_before: int | None = None
    #: The run that started them. With ``roots``: only runs that no run started.
    parent: str | None = None
    roots: bool = False
    #: The workflows that the principal may read.
    readable: Collection[str] | None = None


@frozen
class OpenRunsOfVersion:
    """How many runs of a version are open."""

    tenant: str
    workflow_id: str
    workflow_version: str
    runs: int


@frozen(eq=False)
class Runs:
    """The runs of a database."""

    _db: Database

    async def get(self, run_id: str) -> RunRow | None:
        """Return a run by its id, whatever its tenant."""
        return _run_or_none(await self._db.peek("run_by_id", (run_id,)))

    async def get_by_key(self, run_key: int) -> RunRow | None:
        """Return a run by its key."""
        return _run_or_none(await self._db.peek("run_by_key", (run_key,)))

    async def by_idempotency_key(self, tenant: str, key: str) -> RunRow | None:
        """Return the run that a start with this idempotency key created."""
        return _run_or_none(await self._db.peek("run_by_idempotency_key", (tenant, key)))

    async def by_idempotency_keys(self, tenant: str, keys: Collection[str]) -> dict[str, RunRow]:
        """Return the runs that starts with these idempotency keys created, by key."""
        params = {"tenant": tenant, "keys": _json_list(keys)}
        rows = [_run(as_dict(row)) for row in await self._db.read("runs_by_idempotency_keys", params)]
        return {row.idempotency_key: row for row in rows if row.idempotency_key is not None}

    async def queued(self, limit: int) -> list[RunRow]:
        """Return runs that wait for their first slot, in order of creation, without delayed starts."""
        return [_run(as_dict(row)) for row in await self._db.read("queued_runs", (limit,))]

    async def count_started(self, groups: Sequence[tuple[str, str, str | None]]) -> list[int]:
        """Return how many runs of each group have started and not ended.

        A group is a tenant, a workflow and a concurrency key; None as the key means all runs of the workflow.
        The count includes exactly the appends before this call.
        """
        return await self._db.transact(lambda connection: [_count(connection, *group) for group in groups])

    async def counts(self, tenant: str | None = None) -> dict[State, int]:
        """Return how many runs there are in each state; of one tenant, or of all."""
        return {row["state"]: row["runs"] for row in await self._db.read("runs_by_state", {"tenant": tenant})}

    async def counts_of(self, tenant: str, filters: RunFilters) -> dict[State, int]:
        """Return how many of a tenant's runs that match are in each state; ``filters.states`` is ignored."""
        rows = await self._db.read(_count_statement(filters), _params(tenant, filters, 0, NEWEST))
        return dict.fromkeys(get_args(State), 0) | {row["state"]: row["runs"] for row in rows}

    async def open_counts(self, tenant: str | None = None) -> list[OpenRunsOfVersion]:
        """Return how many runs of each version are open; of one tenant, or of all."""
        return [OpenRunsOfVersion(*row) for row in await self._db.read("open_runs", {"tenant": tenant})]

    async def owners(
        self, run_keys: Iterable[int], tenants: Collection[str]
    ) -> dict[str, list[tuple[int, str]]]:
        """Return some runs, each with its workflow, by tenant; only runs of some tenants."""
        params = {"run_keys": dumps(list(run_keys)).decode(), "tenants": _json_list(tenants)}
        found: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for tenant, run_key, workflow_id in await self._db.read("owners_of_runs", params):
            found[tenant].append((run_key, workflow_id))
        return found

    async def with_seqs(self, run_keys: Iterable[int]) -> Sequence[tuple[RunRow, int]]:
        """Return some runs as they are now, oldest first, each with the seq of its newest event."""
        params = {"run_keys": dumps(sorted(run_keys)).decode()}
        rows = map(as_dict, await self._db.read("runs_with_seqs", params) if run_keys else ())
        return [(_run(row), seq or 0) for row in rows for seq in (row.pop("last_seq"),)]

    async def page(
        self, tenant: str, filters: RunFilters, *, limit: int, before: int | None
    ) -> list[ListedRow]:
        """Return the newest runs before the run key ``before``, newest first, as lists show them."""
        params = _params(tenant, filters, limit, NEWEST if before is None else before)
        row = await self._db.read_one(_statement(filters), params)
        return [] if row is None else list(map(ListedRow._make, loads(row[0])))

    async def list(
        self, tenant: str, filters: RunFilters | None = None, *, limit: int = 50, before: int | None = None
    ) -> list[RunRow]:
        """Return the runs of a ``page`` with all their fields."""
        page = await self.page(tenant, filters or RunFilters(), limit=limit, before=before)
        rows = await self.with_seqs([row.run_key for row in page])
        return [row for row, _ in reversed(rows)]


def _statement(filters: RunFilters) -> str:
    """Return the statement with the best index; succeeded runs are too many to search by state."""
    if filters.parent is not None:
        return "list_runs_of_parent"
    if filters.tag is not None:
        return "list_runs_tagged"
    if filters.workflow_id is not None and (filters.states is None or "succeeded" in filters.states):
        return "list_runs_of_workflow"
    return "list_runs" if filters.states is None else "list_runs_in_states"


def _count_statement(filters: RunFilters) -> str:
    """Return the statement with the best index."""
    if filters.parent is not None:
        return "count_runs_of_parent"
    if filters.tag is not None:
        return "count_runs_tagged"
    if filters.workflow_id is not None:
        return "count_runs_of_workflow"
    return "count_runs" if filters == RunFilters() else "count_runs_filtered"


def _params(tenant: str, filters: RunFilters, limit: int, before: int) -> dict[str, Any]:
    tag_key, tag_value = filters.tag or (None, None)
    return {
        **asdict(filters, recurse=False),
        **{state: state if state in (filters.states or ()) else None for state in get_args(State)},
        "tenant": tenant,
        "limit": limit,
        "before": before,
        "tag_key": tag_key,
        "tag_value": tag_value,
        "states": _json_list(filters.states),
        "readable": _json_list(filters.readable),
    }


def _json_list(items: Collection[str] | None) -> str | None:
    return None if items is None else dumps(sorted(items)).decode()


def _count(connection: sqlite3.Connection, tenant: str, workflow_id: str, lane: str | None) -> int:
    name = "open_in_workflow" if lane is None else "open_with_key"
    params = {"tenant": tenant, "workflow_id": workflow_id, "lane": lane}
    count: int = connection.execute(QUERIES[name], params).fetchone()[0]
    return count


def stored_error(text: str) -> RunError:
    """Return the error of a run from the text in its row."""
    return RunError(**loads(text))


def _run_or_none(row: sqlite3.Row | None) -> RunRow | None:
    return None if row is None else _run(as_dict(row))


def _run(row: dict[str, Any]) -> RunRow:
    error = row["error"]
    row["cancel_requested"], row["forced"] = bool(row["cancel_requested"]), bool(row["forced"])
    row["error"], row["tags"] = None if error is None else stored_error(error), loads(row["tags"])
    return RunRow(**row)


async def rebuild(db: Database) -> list[str]:
    """Rebuild the index from the events, in one transaction; return the ids of runs with wrong rows.

    Open runs that are missing on the agenda are added to it, due at once.
    """
    return await db.transact(_rebuild)


def _rebuild(connection: sqlite3.Connection) -> list[str]:
    for name in ("set_index_aside", "clear_runs", "clear_tags", "clear_input_requests"):
        connection.execute(QUERIES[name])
    for run_key, run_id in _runs_with_events(connection):
        write_rows(connection, index_changes(run_key, run_id, _index_events(connection, run_key)))
    for name in ("add_missing_to_agenda", "delete_ended_from_agenda"):
        connection.execute(QUERIES[name])
    repaired = [run_id for (run_id,) in connection.execute(QUERIES["repaired_runs"])]
    connection.execute(QUERIES["drop_old_index"])
    return repaired


def _runs_with_events(connection: sqlite3.Connection) -> Iterator[tuple[int, str]]:
    key = 0
    while row := connection.execute(QUERIES["next_run_with_events"], (key,)).fetchone():
        key, run_id = row
        yield key, run_id


def _index_events(connection: sqlite3.Connection, run_key: int) -> list[Event]:
    rows = connection.execute(QUERIES["events_of_index"], (run_key,))
    return [decode_event(TYPES[code], *columns) for code, *columns in rows]
