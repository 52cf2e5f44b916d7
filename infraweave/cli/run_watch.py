"""``infraweave runs watch``: the events of a run, live."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from infraweave.cli.output import FAILED, echo_err, show_line
from infraweave.cli.remote import Absence, call_server, connection_options
from infraweave.cli.run_follow import failure, print_event

if TYPE_CHECKING:
    from infraweave.client import Client

Json = dict[str, Any]


@click.command(
    short_help="Follow a run live.",
    epilog="Example: infraweave runs watch RUN --json | jq -r .type",
)
@click.argument("run_id", metavar="RUN")
@click.option(
    "--after", type=click.IntRange(0), default=0, metavar="N", help="Only events after this number."
)
@click.option("--payloads", is_flag=True, help="With --json: inputs, outputs and signal payloads too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line, an event each.")
@connection_options
def watch(run_id: str, after: int, payloads: bool, as_json: bool, url: str, token: str | None) -> None:
    """Print what RUN does while it does it, and exit with its outcome: 0 succeeded, 1 failed or cancelled.

    Where the connection drops or the server restarts, it connects again by itself and goes on after the last
    event: none is lost and none comes twice.
    """
    sys.exit(
        call_server(
            url, token, lambda client: _watch(client, run_id, after, payloads=payloads, as_json=as_json)
        )
    )


async def _watch(client: Client, run_id: str, after: int, *, payloads: bool, as_json: bool) -> int:
    run = client.run(run_id)
    shown = await run.show()  # so that a mistake, or a server that is not there, is told at once
    echo_err(f"{run_id} {shown['workflow_id']} {shown['workflow_version']} is {shown['state']}")
    last: Json | None = None
    async for event in run.events(after=after, payloads=payloads and as_json, notify=Absence()):
        last = event
        if as_json:
            show_line(event)
        else:
            print_event(event, click.echo)
    return _exit_code(last or await run.outcome())


def _exit_code(end: Json) -> int:
    """Return the exit code of a terminal event, or of an outcome."""
    if end.get("error") is None:
        return 0
    echo_err(f"infraweave: {failure(end.get('state') or end['type'], end['error'])}")
    return FAILED


COMMANDS: Sequence[click.Command] = (watch,)
