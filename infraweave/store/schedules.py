"""Schedules and their progress. Every change reads and writes its row within one transaction.

Nothing here reads a clock. Callers pass ``first``, the next time from now on. A row whose times a document
changed has no ``next_at`` until the engine sets one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection

from attrs import evolve

from infraweave.core.data.json_codec import dumps, loads
from infraweave.core.lazy_records import frozen
from infraweave.core.workflow.document import Document
from infraweave.core.workflow.document_codec import schedule_from_json, trigger_to_json
from infraweave.core.workflow.schedules import apply_overlap
from infraweave.core.workflow.triggers import Schedule
from infraweave.errors import ScheduleConflict, ScheduleDeclared, ScheduleNotFound, WorkflowNotFound
from infraweave.store.sqlite.audit_record import AuditRecord
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.statements import QUERIES, fetch


@frozen(kw_only=True)
class ScheduleRow:
    """A schedule and its progress; times in milliseconds. See schema/2_triggers.sql."""

    tenant: str
    workflow_id: str
    schedule: Schedule
    #: The version that declares it; None: created through the API.
    declared_in: str | None = None
    paused: bool = False
    next_at: int | None = None
    #: Due times whose runs have not been started.
    waiting: tuple[int, ...] = ()
    #: Runs that were open at the last check.
    running: tuple[str, ...] = ()
    skipped: int = 0
    last_at: int | None = None
    last_run_id: str | None = None
    last_error: str | None = None

    @property
    def schedule_id(self) -> str:
        """Its id within the tenant."""
        return schedule_id(self.workflow_id, self.schedule.name)

    @property
    def key(self) -> tuple[str, str]:
        """Its key within the database."""
        return self.tenant, self.schedule_id


Change = Callable[[ScheduleRow], ScheduleRow | None]


def schedule_id(workflow_id: str, name: str) -> str:
    """Return the id of a workflow's schedule. It contains the workflow, so grants can be checked first."""
    return f"{workflow_id}:{name}"


@frozen(eq=False)
class Schedules:
    """The schedules of a database."""

    _db: Database

    async def list(self, tenant: str | None = None, workflow_id: str | None = None) -> list[ScheduleRow]:
        """Return all schedules, or those of a tenant, or of one of its workflows, by id."""
        params = {"tenant": tenant, "workflow_id": workflow_id}
        return [_row(row) for row in await self._db.read("schedules", params)]

    async def get(self, tenant: str, schedule_id: str) -> ScheduleRow:
        """Return a schedule.

        Raises:
            ScheduleNotFound: it does not exist.
        """
        row = await self._db.peek("schedule", {"tenant": tenant, "schedule_id": schedule_id})
        if row is None:
            raise _unknown(schedule_id)
        return _row(row)

    async def create(
        self,
        tenant: str,
        workflow_id: str,
        schedule: Schedule,
        first: int | None,
        record: AuditRecord | None = None,
    ) -> ScheduleRow:
        """Create a schedule.

        Raises:
            WorkflowNotFound: the tenant has no such workflow.
            ScheduleConflict: the workflow has a schedule of this name.
        """
        row = _starting(_new(tenant, workflow_id, schedule), first)

        def work(db: sqlite3.Connection) -> ScheduleRow:
            if db.execute(QUERIES["workflow"], (tenant, workflow_id)).fetchone() is None:
                raise WorkflowNotFound(f"No workflow {workflow_id}.")
            if _find(db, row.key) is not None:
                raise ScheduleConflict(
                    f"There is a schedule {row.schedule_id}; change it, or choose another name."
                )
            return _put(db, row)

        return await self._db.transact(work, record)

    async def replace(
        self,
        tenant: str,
        schedule_id: str,
        schedule: Schedule,
        first: int | None,
        record: AuditRecord | None = None,
    ) -> ScheduleRow:
        """Replace the times, the input and the policies of a schedule; its progress stays.

        Raises:
            ScheduleNotFound: it does not exist.
            ScheduleDeclared: a workflow declares it.
        """

        def change(row: ScheduleRow) -> ScheduleRow:
            _refuse_declared(row)
            return _retimed(row, evolve(row, schedule=schedule, paused=schedule.paused), first)

        return await self._change((tenant, schedule_id), change, record)

    async def pause(self, tenant: str, schedule_id: str, record: AuditRecord | None = None) -> ScheduleRow:
        """Pause a schedule and drop its waiting times.

        Raises:
            ScheduleNotFound: it does not exist.
        """
        return await self._change(
            (tenant, schedule_id), lambda row: _starting(evolve(row, paused=True, waiting=()), None), record
        )

    async def resume(
        self,
        tenant: str,
        schedule_id: str,
        first: Callable[[Schedule], int | None],
        record: AuditRecord | None = None,
    ) -> ScheduleRow:
        """Resume a schedule with its first time from now on; one that is not paused is unchanged.

        Raises:
            ScheduleNotFound: it does not exist.
        """

        def change(row: ScheduleRow) -> ScheduleRow:
            return _starting(evolve(row, paused=False), first(row.schedule)) if row.paused else row

        return await self._change((tenant, schedule_id), change, record)

    async def delete(self, tenant: str, schedule_id: str, record: AuditRecord | None = None) -> None:
        """Delete a schedule.

        Raises:
            ScheduleNotFound: it does not exist.
            ScheduleDeclared: a workflow declares it.
        """

        def work(db: sqlite3.Connection) -> None:
            row = _find(db, (tenant, schedule_id))
            if row is None:
                raise _unknown(schedule_id)
            _refuse_declared(row)
            _delete(db, row)

        await self._db.transact(work, record)

    # --- progress ------------------------------------------------------------------------------------------

    async def record_due(
        self,
        known: ScheduleRow,
        expected: int | None,
        times: tuple[int, ...],
        next_at: int | None,
        *,
        ended: Collection[str] = (),
        set_back: int | None = None,
    ) -> ScheduleRow | None:
        """Add due ``times``, all of them before ``next_at``, to the waiting ones; return the changed row.

        ``known`` is the row from which the times were computed, and ``expected`` its ``next_at``. If the
        schedule has changed since, or is gone, nothing is written and the result is None. ``ended``: runs
        that are no longer open. ``set_back``: the clock was ahead and was set back to this time, so waiting
        times after it are not due.
        """

        def change(row: ScheduleRow) -> ScheduleRow | None:
            if row.paused or row.next_at != expected or row.schedule != known.schedule:
                return None
            running = tuple(run_id for run_id in row.running if run_id not in ended)
            due = tuple(time for time in row.waiting if set_back is None or time <= set_back)
            new = tuple(time for time in times if time not in due)
            waiting = tuple(sorted(apply_overlap(row.schedule.overlap, due, new, busy=bool(running))))
            skipped = row.skipped + len(due) + len(new) - len(waiting)
            return evolve(row, next_at=next_at, running=running, waiting=waiting, skipped=skipped)

        return await self._try(known.key, change)

    async def record_outcome(
        self,
        key: tuple[str, str],
        at: int,
        *,
        run_id: str | None = None,
        error: str | None = None,
        ended: Collection[str] = (),
        in_line: bool = True,
    ) -> ScheduleRow | None:
        """Store the run that a time started, or why it started none; None: the schedule is gone.

        Without ``in_line`` somebody requested the run, so all waiting times stay, also an equal one.
        """

        def change(row: ScheduleRow) -> ScheduleRow:
            running = tuple(other for other in row.running if other not in ended)
            return evolve(
                row,
                waiting=tuple(time for time in row.waiting if time != at or not in_line),
                running=running if run_id is None else (*running, run_id),
                last_at=max(at, row.last_at or 0),
                last_run_id=run_id or row.last_run_id,
                last_error=error,
            )

        return await self._try(key, change)

    async def _change(self, key: tuple[str, str], change: Change, record: AuditRecord | None) -> ScheduleRow:
        row = await self._try(key, change, record)
        if row is None:
            raise _unknown(key[1])
        return row

    async def _try(
        self, key: tuple[str, str], change: Change, record: AuditRecord | None = None
    ) -> ScheduleRow | None:
        def work(db: sqlite3.Connection) -> ScheduleRow | None:
            row = _find(db, key)
            changed = None if row is None else change(row)
            return None if changed is None else _put(db, changed)

        return await self._db.transact(work, record)


def declare(db: sqlite3.Connection, tenant: str, document: Document) -> None:
    """Replace the schedules that another version declared by those of a document.

    A schedule of the same name keeps its progress, and whether it is paused.
    """
    params = {"tenant": tenant, "workflow_id": document.workflow_id}
    before = {row.schedule.name: row for row in map(_row, fetch(db, "schedules", params))}
    for schedule in document.schedules:
        old = before.pop(schedule.name, None)
        if old is None:
            new = _new(tenant, document.workflow_id, schedule)
        else:
            new = _retimed(old, evolve(old, schedule=schedule), None)
        _put(db, evolve(new, declared_in=document.version))
    for row in before.values():
        if row.declared_in is not None:
            _delete(db, row)


def _new(tenant: str, workflow_id: str, schedule: Schedule) -> ScheduleRow:
    return ScheduleRow(tenant=tenant, workflow_id=workflow_id, schedule=schedule, paused=schedule.paused)


def _starting(row: ScheduleRow, first: int | None) -> ScheduleRow:
    return evolve(row, next_at=None if row.paused else first)


def _retimed(old: ScheduleRow, new: ScheduleRow, first: int | None) -> ScheduleRow:
    """Return the new row, with a new next time if its times may have changed."""
    same = old.schedule.timing == new.schedule.timing and old.paused == new.paused
    return new if same else _starting(new, first)


def _refuse_declared(row: ScheduleRow) -> None:
    if row.declared_in is not None:
        raise ScheduleDeclared(
            f"The workflow {row.workflow_id} declares {row.schedule_id} in version {row.declared_in};"
            " change it there, or pause it."
        )


def _unknown(schedule_id: str) -> ScheduleNotFound:
    return ScheduleNotFound(f"No schedule {schedule_id}.")


# --- rows --------------------------------------------------------------------------------------------------


def _find(db: sqlite3.Connection, key: tuple[str, str]) -> ScheduleRow | None:
    rows = fetch(db, "schedule", {"tenant": key[0], "schedule_id": key[1]})
    return _row(rows[0]) if rows else None


def _put(db: sqlite3.Connection, row: ScheduleRow) -> ScheduleRow:
    values = {
        "tenant": row.tenant,
        "schedule_id": row.schedule_id,
        "workflow_id": row.workflow_id,
        "declared_in": row.declared_in,
        "spec": dumps(trigger_to_json(row.schedule)).decode(),
        "paused": int(row.paused),
        "next_at": row.next_at,
        "waiting": dumps(row.waiting).decode(),
        "running": dumps(row.running).decode(),
        "skipped": row.skipped,
        "last_at": row.last_at,
        "last_run_id": row.last_run_id,
        "last_error": row.last_error,
    }
    db.execute(QUERIES["put_schedule"], values)
    return row


def _delete(db: sqlite3.Connection, row: ScheduleRow) -> None:
    db.execute(QUERIES["delete_schedule"], {"tenant": row.tenant, "schedule_id": row.schedule_id})


def _row(row: sqlite3.Row) -> ScheduleRow:
    values = dict(row)
    spec, _ = values.pop("spec"), values.pop("schedule_id")
    return ScheduleRow(
        **{
            **values,
            "schedule": schedule_from_json(loads(spec)),
            "paused": bool(row["paused"]),
            "waiting": tuple(loads(row["waiting"])),
            "running": tuple(loads(row["running"])),
        }
    )
