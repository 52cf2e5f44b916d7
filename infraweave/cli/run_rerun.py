"""``infraweave runs rerun``: repeats a finished run, from its beginning or from a node."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from infraweave.cli.input_files import read_json
from infraweave.cli.output import show_json, show_table
from infraweave.cli.remote import call_server, server_options
from infraweave.cli.run_follow import follow_options, report_start, start_headers
from infraweave.core.lazy_records import frozen

if TYPE_CHECKING:
    from infraweave.client import Client

Json = dict[str, Any]


@frozen(kw_only=True)
class RerunOptions:
    """The options of ``runs rerun``."""

    run_id: str
    from_node: str | None
    input_json: str | None
    version: str | None
    idempotency_key: str | None
    dry_run: bool
    wait: bool
    watch: bool
    as_json: bool

    def changes(self) -> Json:
        """Return the body of the request: what differs from the old run."""
        given = {"from_node": self.from_node, "version": self.version}
        changes: Json = {key: value for key, value in given.items() if value is not None}
        if self.input_json is not None:
            changes["input"] = read_json(self.input_json, "--input")
        return changes


@click.command(
    short_help="Repeat a finished run.",
    epilog="Example: infraweave runs rerun RUN --from charge --dry-run",
)
@click.argument("run_id", metavar="RUN")
@click.option("--from", "from_node", metavar="NODE", help="Keep the results from before NODE.")
@click.option(
    "--input", "input_json", metavar="JSON|@FILE|-", help="A JSON Merge Patch (RFC 7396) of the input."
)
@click.option("--version", metavar="V", help="The version to run. Default: the run's version.")
@click.option("--dry-run", is_flag=True, help="Only show which nodes would be kept and which would run.")
@follow_options
@server_options
def rerun(url: str, token: str | None, **options: Any) -> None:
    """Start a new run that repeats RUN, from its beginning or from a node, and print its id."""
    chosen = RerunOptions(**options)
    changes = chosen.changes()
    sys.exit(call_server(url, token, lambda client: _rerun(client, chosen, changes)))


async def _rerun(client: Client, chosen: RerunOptions, changes: Json) -> int:
    path = f"{client.run(chosen.run_id).path}/rerun"
    if chosen.dry_run:
        plan = await client.request("POST", path, body={**changes, "dry_run": True})
        _show_plan(plan, as_json=chosen.as_json)
        return 0
    headers = start_headers(chosen.idempotency_key)
    return await report_start(
        client, await client.request("POST", path, body=changes, headers=headers), chosen
    )


def _show_plan(plan: Json, *, as_json: bool) -> None:
    if as_json:
        show_json(plan)
        return
    fates = ("reused", "rerun", "new", "gone")
    show_table(("node", "fate"), [{"node": node, "fate": fate} for fate in fates for node in plan[fate]])


COMMANDS: Sequence[click.Command] = (rerun,)
