"""Schedules and how far each has come. Every change reads and writes its row within one transaction.

Nothing here knows a clock: ``first``, the next time from now on, is handed in; a row that a document has
changed has no ``next_at``, and the engine puts one in.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection

from attrs import evolve, frozen

from infraweave.core.data.json_codec import dumps, loads
from infraweave.core.workflow.document import Document
from infraweave.core.workflow.document_codec import schedule_from_json, trigger_to_json
from infraweave.core.workflow.schedules import apply_overlap
from infraweave.core.workflow.triggers import Schedule
from infraweave.errors import ScheduleConflict, ScheduleDeclared, ScheduleNotFound, WorkflowNotFound
from infraweave.store.sqlite.audit_record import AuditRecord
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.statements import QUERIES


@frozen(kw_only=True)
class ScheduleRow:
    """A schedule and how far it has come; times in milliseconds. See schema/2_triggers.sql."""

    tenant: str
    workflow_id: str
    schedule: Schedule
    #: The version that declares it; None: made through the API.
    declared_in: str | None = None
    paused: bool = False
    next_at: int | None = None
    #: Times that have come and whose runs have not been started.
    waiting: tuple[int, ...] = ()
    #: Runs that were open when last looked at.
    running: tuple[str, ...] = ()
    skipped: int = 0
    last_at: int | None = None
    last_run_id: str | None = None
    last_error: str | None = None

    @property
    def schedule_id(self) -> str:
        """Its name within the tenant."""
        return schedule_id(self.workflow_id, self.schedule.name)

    @property
    def key(self) -> tuple[str, str]:
        """Its name within the database."""
        return self.tenant, self.schedule_id


Change = Callable[[ScheduleRow], ScheduleRow | None]


def schedule_id(workflow_id: str, name: str) -> str:
    """Return the id of a workflow's schedule; it tells the workflow, so that grants can be asked first."""
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
            ScheduleNotFound: there is none.
        """
        row = await self._db.read_one("schedule", {"tenant": tenant, "schedule_id": schedule_id})
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
        """Make a schedule.

        Raises:
            WorkflowNotFound: the tenant has no such workflow.
            ScheduleConflict: there is one of this name.
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
        """Give a schedule other times, another input or other policies; what it has done so far stays.

        Raises:
            ScheduleNotFound: there is none.
            ScheduleDeclared: a workflow declares it.
        """

        def change(row: ScheduleRow) -> ScheduleRow:
            _must_be_free(row)
            return _retimed(row, evolve(row, schedule=schedule, paused=schedule.paused), first)

        return await self._change((tenant, schedule_id), change, record)

    async def pause(self, tenant: str, schedule_id: str, record: AuditRecord | None = None) -> ScheduleRow:
        """Pause a schedule, which also forgets what waits.

        Raises:
            ScheduleNotFound: there is none.
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
        """Let a schedule go on from its first time from now on; one that is not paused stays as it is.

        Raises:
            ScheduleNotFound: there is none.
        """

        def change(row: ScheduleRow) -> ScheduleRow:
            return _starting(evolve(row, paused=False), first(row.schedule)) if row.paused else row

        return await self._change((tenant, schedule_id), change, record)

    async def delete(self, tenant: str, schedule_id: str, record: AuditRecord | None = None) -> None:
        """Forget a schedule.

        Raises:
            ScheduleNotFound: there is none.
            ScheduleDeclared: a workflow declares it.
        """

        def work(db: sqlite3.Connection) -> None:
            row = _find(db, (tenant, schedule_id))
            if row is None:
                raise _unknown(schedule_id)
            _must_be_free(row)
            _delete(db, row)

        await self._db.transact(work, record)

    # --- how far it has come -------------------------------------------------------------------------------

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
        """Take note of times that have come, all of them before ``next_at``; return the row as it is then.

        With ``set_back`` the clock was ahead and was set back to then: what waits for later has not come.

        ``known`` tells what the times were made of, ``expected`` is the ``next_at`` from which, ``ended`` are
        runs that are open no more. None: the schedule has changed meanwhile, or is gone; nothing is written.
        """

        def change(row: ScheduleRow) -> ScheduleRow | None:
            if row.paused or row.next_at != expected or row.schedule != known.schedule:
                return None
            running = tuple(run_id for run_id in row.running if run_id not in ended)
            come = tuple(time for time in row.waiting if set_back is None or time <= set_back)
            new = tuple(time for time in times if time not in come)
            waiting = tuple(sorted(apply_overlap(row.schedule.overlap, come, new, busy=bool(running))))
            skipped = row.skipped + len(come) + len(new) - len(waiting)
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
        """Take note of the run that a time has made, or why it made none; None: the schedule is gone.

        Without ``in_line`` the run was asked for: whatever waits goes on waiting, also for the same moment.
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
    """Let the schedules of a document take the place of those that another version declared.

    Of one that keeps its name, whether it is paused and what it has done so far stay.
    """
    params = {"tenant": tenant, "workflow_id": document.workflow_id}
    before = {row.schedule.name: row for row in _rows(db, "schedules", params)}
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
    """Return a changed row, which has its next time anew where that may be another now."""
    same = old.schedule.timing == new.schedule.timing and old.paused == new.paused
    return new if same else _starting(new, first)


def _must_be_free(row: ScheduleRow) -> None:
    if row.declared_in is not None:
        raise ScheduleDeclared(
            f"The workflow {row.workflow_id} declares {row.schedule_id} in version {row.declared_in};"
            " change it there, or pause it."
        )


def _unknown(schedule_id: str) -> ScheduleNotFound:
    return ScheduleNotFound(f"No schedule {schedule_id}.")


# --- rows --------------------------------------------------------------------------------------------------


def _find(db: sqlite3.Connection, key: tuple[str, str]) -> ScheduleRow | None:
    rows = _rows(db, "schedule", {"tenant": key[0], "schedule_id": key[1]})
    return rows[0] if rows else None


def _rows(db: sqlite3.Connection, name: str, params: dict[str, str]) -> list[ScheduleRow]:
    cursor = db.cursor()
    cursor.row_factory = sqlite3.Row
    return [_row(row) for row in cursor.execute(QUERIES[name], params).fetchall()]


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
