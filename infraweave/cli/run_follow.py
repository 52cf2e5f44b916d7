"""Waits for the end of a run, for all commands with --wait or --watch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import click

from infraweave.cli.event_text import event_text
from infraweave.cli.output import FAILED, echo_err, node_label, plain, show_json
from infraweave.cli.remote import OutageNotice

if TYPE_CHECKING:
    from infraweave.client import Client, Run

Json = dict[str, Any]

#: Tells the server that the command line starts the run.
START_HEADERS = {"X-Infraweave-Trigger": "cli"}


class FollowOptions(Protocol):
    """The options of a command that starts a run."""

    @property
    def wait(self) -> bool:
        """Wait for the end and print the result."""

    @property
    def watch(self) -> bool:
        """Wait likewise, and print events to stderr."""

    @property
    def as_json(self) -> bool:
        """Print one JSON document."""


def follow_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --idempotency-key, --wait and --watch."""
    watch = click.option("--watch", is_flag=True, help="Wait likewise, and print events to stderr.")
    wait = click.option("--wait", is_flag=True, help="Wait for the end and print the result.")
    key = click.option(
        "--idempotency-key", metavar="K", help="Repeated requests with the same key start only one run."
    )
    return key(wait(watch(command)))


def start_headers(idempotency_key: str | None) -> dict[str, str]:
    """Return the headers of a request that starts a run."""
    return START_HEADERS if idempotency_key is None else {**START_HEADERS, "Idempotency-Key": idempotency_key}


async def report_start(client: Client, answer: Json, chosen: FollowOptions) -> int:
    """Print the run that was started, or wait for its end if asked to; return the exit code."""
    if chosen.wait or chosen.watch:
        echo_err(f"{answer['run_id']} {answer['workflow_id']} {answer['workflow_version']}")
        return await wait_for_end(client.run(answer["run_id"]), watch=chosen.watch, as_json=chosen.as_json)
    if chosen.as_json:
        show_json(answer)
    else:
        click.echo(answer["run_id"])
        echo_err(f"{answer['workflow_id']} {answer['workflow_version']} is {answer['state']}")
    return 0


async def wait_for_end(run: Run, *, watch: bool, as_json: bool) -> int:
    """Wait for the end of a run, print the result and return the exit code. ``watch`` prints events."""
    async for event in run.events(notify=OutageNotice()):
        if watch:
            print_event(event, echo_err)
    return show_outcome(await run.outcome(), as_json=as_json)


def print_event(event: Json, write: Callable[[str], Any]) -> None:
    """Write the line that describes an event, if there is one."""
    if line := event_text(event):
        write(f"{event['at']}  {line}")


def show_outcome(outcome: Json, *, as_json: bool) -> int:
    """Print the result or error of a run and return the exit code."""
    if as_json:
        show_json(outcome)
    elif outcome["state"] == "succeeded":
        show_json(outcome["result"])
    if outcome["state"] == "succeeded":
        return 0
    echo_err(f"infraweave: {failure_text(outcome['state'], outcome['error'])}")
    return FAILED


def failure_text(state: str, error: Json) -> str:
    """Return the reason why a run has no result, on one line."""
    where = f" in {node_label(error)}" if error.get("node") else ""
    return plain(f"{state}{where}: {error.get('message')}")
