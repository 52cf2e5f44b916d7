"""``infraweave runs watch``: prints the events of a run as they happen."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from infraweave.cli.output import FAILED, echo_err, show_line
from infraweave.cli.remote import OutageNotice, call_server, connection_options
from infraweave.cli.run_follow import failure_text, print_event

if TYPE_CHECKING:
    from infraweave.client import Client

Json = dict[str, Any]


@click.command(
    short_help="Print the events of a run as they happen.",
    epilog="Example: infraweave runs watch RUN --json | jq -r .type",
)
@click.argument("run_id", metavar="RUN")
@click.option(
    "--after", type=click.IntRange(0), default=0, metavar="N", help="Only events with a higher seq."
)
@click.option("--payloads", is_flag=True, help="With --json: include inputs, outputs and signal payloads.")
@click.option("--json", "as_json", is_flag=True, help="Print each event as one line of JSON.")
@connection_options
def watch(run_id: str, after: int, payloads: bool, as_json: bool, url: str, token: str | None) -> None:
    """Print the events of RUN as they happen. The exit code is 0 if it succeeded, 1 if failed or cancelled.

    When the connection drops or the server restarts, this command reconnects by itself. No event is lost or
    printed twice.
    """
    sys.exit(
        call_server(
            url, token, lambda client: _watch(client, run_id, after, payloads=payloads, as_json=as_json)
        )
    )


async def _watch(client: Client, run_id: str, after: int, *, payloads: bool, as_json: bool) -> int:
    run = client.run(run_id)
    shown = await run.show()  # fails at once if the run does not exist or the server is unreachable
    echo_err(f"{run_id} {shown['workflow_id']} {shown['workflow_version']} is {shown['state']}")
    last: Json | None = None
    async for event in run.events(after=after, payloads=payloads and as_json, notify=OutageNotice()):
        last = event
        if as_json:
            show_line(event)
        else:
            print_event(event, click.echo)
    return _exit_code(last or await run.outcome())


def _exit_code(end: Json) -> int:
    """Return the exit code for a terminal event or an outcome."""
    if end.get("error") is None:
        return 0
    echo_err(f"infraweave: {failure_text(end.get('state') or end['type'], end['error'])}")
    return FAILED


COMMANDS: Sequence[click.Command] = (watch,)
