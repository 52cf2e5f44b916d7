"""``infraweave run``: executes one run in this process. Events go to stderr, the result to stdout."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from infraweave.cli.event_text import event_text
from infraweave.cli.input_files import DEFAULT_FOLDER, load_workflows, read_json
from infraweave.cli.nonblocking_output import never_block_on_output
from infraweave.cli.options import outbound_options
from infraweave.cli.output import FAILED, USAGE, echo_err, echo_error, echo_indented, fail
from infraweave.cli.run_follow import failure_text
from infraweave.cli.run_prompts import Prompter
from infraweave.core.lazy_records import frozen
from infraweave.core.records import define
from infraweave.errors import RequestError, StartupError

#: The column at which the text of an event starts.
_INDENT = 11


@frozen(kw_only=True)
class RunOptions:
    """The command's options."""

    file_or_workflow: str
    input_json: str
    db: str
    workflow: str | None
    allow_outbound: tuple[str, ...]
    outbound_ca: str | None
    secret: tuple[str, ...]
    secret_files: str | None


@click.command(
    epilog="""Example: infraweave run workflows.example/checkout.py --input '{"order_id": "o1", …}'"""
)
@click.argument("file_or_workflow")
@click.option(
    "--input", "input_json", default="{}", metavar="JSON|@FILE|-", help="The run's input; - reads stdin."
)
@click.option("--db", default=":memory:", help="Keep the run in this file. Default: in memory.")
@click.option("--workflow", metavar="ID", help="Which workflow, if the file has several.")
@outbound_options
def command(**options: Any) -> None:
    """Execute one run of FILE_OR_WORKFLOW (a file, or a workflow of workflows/) in this process."""
    never_block_on_output("stderr")
    chosen = RunOptions(**options)
    code = asyncio.run(_run(chosen, *_chosen(chosen)))  # files are loaded first: they may run an event loop
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # do not wait for an open prompt, or a body that does not stop


async def _run(options: RunOptions, workflows: list[Any], workflow_id: str) -> int:
    from infraweave.engine.engine import Engine
    from infraweave.settings import Settings

    value = read_json(options.input_json, "--input")
    settings = Settings(
        schedules=False,
        allow_outbound=options.allow_outbound,
        outbound_ca=options.outbound_ca,
        secrets=options.secret,
        secret_files=options.secret_files,
    )
    log = logging.getLogger("infraweave.node")
    log.addFilter(_is_not_a_failure)
    try:
        async with Engine.open(options.db, workflows, settings=settings) as engine:
            return await _LocalRun(engine).run(workflow_id, value)
    finally:
        log.removeFilter(_is_not_a_failure)


def _is_not_a_failure(record: logging.LogRecord) -> bool:
    """Tell whether a log record is not about a failed attempt, which the events show already."""
    return not hasattr(record, "seq")


def _chosen(options: RunOptions) -> tuple[list[Any], str]:
    """Return the workflows to load, and the id of the one to run."""
    path = Path(options.file_or_workflow)
    if path.exists():
        workflows = load_workflows([path])
        wanted = options.workflow
    elif path.suffix == ".py":
        raise StartupError(f"{path}: no such file")
    else:
        workflows = load_workflows([])
        wanted = options.workflow or options.file_or_workflow
    ids = [workflow.workflow_id for workflow in workflows]
    if wanted is None and len(ids) != 1:
        fail(f"{path} has several workflows; choose one with --workflow: {', '.join(ids)}", code=USAGE)
    if wanted is not None and wanted not in ids:
        where = path if path.exists() else f"{DEFAULT_FOLDER}/"
        fail(f"There is no workflow {wanted} in {where}; it has {', '.join(ids)}", code=USAGE)
    return workflows, wanted or ids[0]


@define
class _LocalRun:
    """Executes one run and shows its events."""

    engine: Any
    started_at: int = 0
    #: The traceback shown last.
    traceback: str | None = None

    async def run(self, workflow_id: str, value: Any) -> int:
        from infraweave.core import trace_context
        from infraweave.engine import clock
        from infraweave.engine.runs.requests import StartRequest

        request = StartRequest(
            tenant="default",
            by="cli",
            workflow_id=workflow_id,
            input=value,
            trigger="cli",
            trace=trace_context.accept([], [], clock.trace_id()),
        )
        try:
            row = (await self.engine.service.start(request)).run
        except RequestError as error:
            echo_error(error.message, [(fault.path, fault.message) for fault in error.details])
            return FAILED
        self.started_at = row.created_at
        echo_err(f"{row.run_id} {workflow_id} {row.workflow_version}")
        self._cancel_on_interrupt(row)
        return await self._follow(row)

    def _cancel_on_interrupt(self, row: Any) -> None:
        """Make the first Ctrl-C cancel the run, so that it cleans up. A second one ends the process."""
        loop = asyncio.get_running_loop()

        def interrupt() -> None:
            loop.remove_signal_handler(signal.SIGINT)
            echo_err("Cancelling; press Ctrl-C again to exit at once.")
            self.engine.tasks.spawn(self.engine.service.cancel(row, by="cli", reason="interrupted"), "cancel")

        loop.add_signal_handler(signal.SIGINT, interrupt)

    async def _follow(self, row: Any) -> int:
        prompter = Prompter(self.engine, row)
        async with self.engine.journal.follow(row.run_key) as follower:
            async for page in follower:
                for stored in page:
                    event, payloads = stored.fields(row.run_id), stored.beside()
                    self._show(event, payloads)
                    await prompter.on_event(row, event, payloads)
                    if event["type"] in ("completed", "failed", "cancelled"):
                        return self._end(event, payloads)
        return FAILED

    def _show(self, event: dict[str, Any], payloads: dict[str, Any]) -> None:
        from infraweave.core.data.values import from_rfc3339

        seconds = (from_rfc3339(event["at"]) - self.started_at) / 1000
        line = event_text(event)
        if line:
            echo_err(f"{seconds:8.3f}s  {line}")
        traceback = payloads.get("traceback")
        if traceback is not None and traceback != self.traceback:  # retries often fail in the same way
            self.traceback = traceback
            echo_indented(traceback, _INDENT)

    def _end(self, event: dict[str, Any], payloads: dict[str, Any]) -> int:
        if event["type"] == "completed":
            click.echo(json.dumps(payloads.get("result"), indent=2, ensure_ascii=False))
            return 0
        echo_err(f"infraweave: {failure_text(event['type'], event['error'])}")
        return FAILED
