"""Follows a run of a server on the terminal, to its end: what all commands with --wait or --watch do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import click

from infraweave.cli.event_text import event_text
from infraweave.cli.output import FAILED, echo_err, node_label, plain, show_json
from infraweave.cli.remote import Absence

if TYPE_CHECKING:
    from infraweave.client import Client, Run

Json = dict[str, Any]

#: Says to the server that the command line started a run.
START_HEADERS = {"X-Infraweave-Trigger": "cli"}


class FollowOptions(Protocol):
    """The options of a command that makes a run."""

    @property
    def wait(self) -> bool:
        """Wait for the end and print the result."""

    @property
    def watch(self) -> bool:
        """The same, and tell what happens."""

    @property
    def as_json(self) -> bool:
        """Print one JSON document."""


async def report_start(client: Client, answer: Json, chosen: FollowOptions) -> int:
    """Tell of a run that was made, or of its end where that is wanted; return the exit code."""
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
    """Wait for the end of a run; print the result and return the exit code. ``watch``: tell what happens."""
    async for event in run.events(notify=Absence()):
        if watch:
            print_event(event, echo_err)
    return show_outcome(await run.outcome(), as_json=as_json)


def print_event(event: Json, write: Callable[[str], Any]) -> None:
    """Write an event as people read it, if it says anything to them."""
    if line := event_text(event):
        write(f"{event['at']}  {line}")


def show_outcome(outcome: Json, *, as_json: bool) -> int:
    """Print how a run ended and return the exit code."""
    if as_json:
        show_json(outcome)
    elif outcome["state"] == "succeeded":
        show_json(outcome["result"])
    if outcome["state"] == "succeeded":
        return 0
    echo_err(f"infraweave: {failure(outcome['state'], outcome['error'])}")
    return FAILED


def failure(state: str, error: Json) -> str:
    """Return why a run has no result."""
    where = f" in {node_label(error)}" if error.get("node") else ""
    return plain(f"{state}{where}: {error.get('message')}")
