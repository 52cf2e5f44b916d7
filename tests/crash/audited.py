"""Acts on a child run, in a process that dies.

``python -m tests.crash.audited FILE begin WORKFLOW`` starts a parent, prints its child and dies.
``python -m tests.crash.audited FILE ACT RUN_ID`` dies right after the first commit of the act.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from infraweave import Retry, Workflow
from infraweave.core.trace_context import TraceContext
from infraweave.engine.engine import Engine
from infraweave.engine.runs.requests import StartRequest
from infraweave.settings import Settings
from infraweave.store.runs import RunFilters
from infraweave.store.sqlite.audit_record import AuditRecord
from infraweave.store.sqlite.row_changes import RowChanges


def workflows() -> list[Workflow]:
    """A child that waits for a signal, one that works and must not be interrupted, and a parent of each."""
    asking, working = Workflow("asking", version="v1"), Workflow("working", version="v1")
    asking.signal("go", schema={})

    @working.node(retry=Retry(max_attempts=1))
    async def work() -> None:
        await asyncio.Event().wait()

    return [asking, working, parent_of("asking"), parent_of("working")]


def parent_of(workflow_id: str) -> Workflow:
    flow = Workflow(f"parent-of-{workflow_id}", version="v1")

    @flow.subworkflow(workflow_id)
    def child() -> dict:
        return {}

    return flow


async def begin(engine: Engine, workflow_id: str) -> None:
    trace, parent = TraceContext("a" * 32, "b" * 16, 1, ""), f"parent-of-{workflow_id}"
    await engine.service.start(StartRequest(tenant="default", by="eve", workflow_id=parent, trace=trace))
    while not (rows := await engine.runs.list("default", RunFilters(workflow_id=workflow_id))):
        await engine.db.ping()
    while not (await engine.service.inspect(rows[0])).state.entries:
        await engine.db.ping()
    print(rows[0].run_id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def die_after_the_first(committed: Sequence[RowChanges]) -> None:
    if any(rows.audit or rows.events for rows in committed):
        os.kill(os.getpid(), signal.SIGKILL)


async def act(engine: Engine, name: str, run_id: str) -> None:
    run = await engine.runs.get(run_id)
    record = AuditRecord(at=0, action=name, resource=f"run:{run_id}")
    engine.db.listen(die_after_the_first)
    match name:
        case "signal":
            await engine.service.signal(run, "go", None, {}, by="eve", record=record)
        case "cancel":
            await engine.service.cancel(run, by="eve", record=record)
        case "terminate":
            await engine.service.terminate(run, by="eve", record=record)
        case "resume":
            await engine.service.resume(run, record)


async def main(path: str, name: str, what: str) -> None:
    async with Engine.open(Path(path), workflows(), settings=Settings(keep=None)) as engine:
        await (begin(engine, what) if name == "begin" else act(engine, name, what))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
