"""``infraweave run``: one run in this process. Nodes appear on stderr, the result on stdout."""

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
from attrs import define, frozen

from infraweave.cli.event_text import event_text
from infraweave.cli.input_files import DEFAULT_FOLDER, load_workflows, read_json
from infraweave.cli.nonblocking_output import never_block_on_output
from infraweave.cli.options import outbound_options
from infraweave.cli.output import FAILED, USAGE, echo_err, echo_error, echo_indented, fail
from infraweave.cli.run_follow import failure
from infraweave.cli.run_prompts import Prompter
from infraweave.core.data import json_codec
from infraweave.errors import RequestError, StartupError

#: How far the text of an event is from the margin.
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
@click.option("--db", default=":memory:", help="Keep the run in this file (by default in none).")
@click.option("--workflow", help="Which workflow, where the file has several.")
@outbound_options
def command(**options: Any) -> None:
    """Execute one run of FILE_OR_WORKFLOW (a file, or a workflow of workflows/) in this process."""
    never_block_on_output("stderr")
    chosen = RunOptions(**options)
    code = asyncio.run(_run(chosen, *_chosen(chosen)))  # loaded before: a file may run a loop of its own
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # neither an open prompt nor a body that does not stop is waited for


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
    log.addFilter(_is_not_shown_here)
    try:
        async with Engine.open(options.db, workflows, settings=settings) as engine:
            return await _Show(engine).run(workflow_id, value)
    finally:
        log.removeFilter(_is_not_shown_here)


def _is_not_shown_here(record: logging.LogRecord) -> bool:
    """Tell whether a record is no failed attempt, which is shown as an event and more fully."""
    return not hasattr(record, "seq")


def _chosen(options: RunOptions) -> tuple[list[Any], str]:
    """Return the workflows to load and the id of the one to run."""
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
        fail(f"{path} has the workflows {', '.join(ids)}; choose one with --workflow", code=USAGE)
    if wanted is not None and wanted not in ids:
        where = path if path.exists() else f"{DEFAULT_FOLDER}/"
        fail(f"There is no workflow {wanted} in {where}; there are {', '.join(ids)}", code=USAGE)
    return workflows, wanted or ids[0]


@define
class _Show:
    """Shows one run as it goes."""

    engine: Any
    began: int = 0
    #: The traceback that was shown last.
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
        self.began = row.created_at
        echo_err(f"{row.run_id} {workflow_id} {row.workflow_version}")
        self._cancel_on_interrupt(row)
        return await self._follow(row)

    def _cancel_on_interrupt(self, row: Any) -> None:
        """Let the first Ctrl-C cancel the run, so that it cleans up; a second one ends at once."""
        loop = asyncio.get_running_loop()

        def interrupt() -> None:
            loop.remove_signal_handler(signal.SIGINT)
            echo_err("Cancelling; press Ctrl-C again to leave at once.")
            self.engine.host.spawn(self.engine.service.cancel(row, by="cli", reason="interrupted"), "cancel")

        loop.add_signal_handler(signal.SIGINT, interrupt)

    async def _follow(self, row: Any) -> int:
        prompter = Prompter(self.engine, row)
        async with self.engine.journal.follow(row.run_key) as follower:
            async for page in follower:
                for stored in page:
                    event = json_codec.loads(stored.data)
                    beside = json_codec.loads(stored.payload) if stored.payload else {}
                    self._show(event, beside)
                    await prompter.on_event(row, event, beside)
                    if event["type"] in ("completed", "failed", "cancelled"):
                        return self._end(event, beside)
        return FAILED

    def _show(self, event: dict[str, Any], beside: dict[str, Any]) -> None:
        from infraweave.core.data.values import from_rfc3339

        seconds = (from_rfc3339(event["at"]) - self.began) / 1000
        line = event_text(event)
        if line:
            echo_err(f"{seconds:8.3f}s  {line}")
        traceback = beside.get("traceback")
        if traceback is not None and traceback != self.traceback:  # attempts often fail in the same way
            self.traceback = traceback
            echo_indented(traceback, _INDENT)

    def _end(self, event: dict[str, Any], beside: dict[str, Any]) -> int:
        if event["type"] == "completed":
            click.echo(json.dumps(beside.get("result"), indent=2, ensure_ascii=False))
            return 0
        echo_err(f"infraweave: {failure(event['type'], event['error'])}")
        return FAILED
