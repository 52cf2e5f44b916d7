"""``infraweave runs``: what there is to see of runs at a server; the acts are in the modules beside it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from infraweave.cli import run_actions, run_rerun, run_start, run_watch
from infraweave.cli.output import (
    STATES,
    echo_err,
    is_interruption,
    node_label,
    paint_state,
    plain,
    show_json,
    show_table,
)
from infraweave.cli.remote import call_server, server_options
from infraweave.cli.run_follow import failure, show_outcome, wait_for_end

if TYPE_CHECKING:
    from infraweave.client import Client, RunPage

Json = dict[str, Any]

_LISTED = ("run_id", "state", "workflow", "trigger", "created_at", "took", "tags")
_NODES = ("node", "kind", "state", "attempts", "iterations", "started_at", "took", "tokens")
_ATTEMPTS = ("node", "kind", "attempt", "state", "started_at", "took", "tokens", "error")
#: The colours of a column of states.
_COLOURS = {"state": STATES}


@click.group(epilog="""Example: infraweave runs start checkout-flow --input '{"order_id": "o1"}'""")
def command() -> None:
    """Start runs at a server, see what they do, and steer them."""


for _command in (*run_start.COMMANDS, *run_rerun.COMMANDS, *run_watch.COMMANDS, *run_actions.COMMANDS):
    command.add_command(_command)


@command.command(
    "list",
    short_help="List runs, newest first.",
    epilog="Example: infraweave runs list --status running,retrying --workflow checkout-flow",
)
@click.option("--status", metavar="STATES", help="A comma list: queued,running,retrying,succeeded,failed,…")
@click.option("--workflow", "--workflow-id", "workflow_id", metavar="ID", help="Only this workflow's.")
@click.option("--version", "--workflow-version", "workflow_version", metavar="V", help="Only this version's.")
@click.option("--trigger", metavar="T", help="Only those started by api, cli, schedule, webhook, …")
@click.option("--tag", metavar="KEY=VALUE", help="Only those with this tag.")
@click.option(
    "--parent", "parent_run_id", metavar="RUN|none", help="Only this run's children; or only roots."
)
@click.option("--started-after", metavar="TIME", help="Such as 2026-07-04T18:00:00Z.")
@click.option("--started-before", metavar="TIME", help="Queued runs have not started and are left out.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@click.option("--cursor", metavar="C", help="Go on from the next_cursor of a list before.")
@click.option("--all", "every", is_flag=True, help="All there are, without a limit.")
@server_options
def list_(
    url: str, token: str | None, as_json: bool, every: bool, limit: int, cursor: str | None, **filters: Any
) -> None:
    """List the runs of a server that the token may read, newest first."""
    if filters["tag"] is not None:
        key, value = run_start.read_tag(filters["tag"])
        filters["tag"] = f"{key.replace('%', '%25').replace(':', '%3A')}:{value}"
    most = None if every else limit

    async def ask(client: Client) -> RunPage:
        return await client.list_runs(limit=most, cursor=cursor, **filters)

    found = call_server(url, token, ask)
    if as_json:
        show_json({"runs": found.runs, "next_cursor": found.next_cursor})
        return
    show_table(_LISTED, [_listed(run) for run in found.runs], _COLOURS)
    if found.next_cursor is not None:
        echo_err(f"There are more than these {len(found.runs)}; --all shows them.")


def _listed(run: Json) -> Json:
    return {
        **run,
        "workflow": f"{run['workflow_id']} {run['workflow_version']}",
        "tags": [f"{key}={value}" for key, value in run["tags"].items()],
        "took": _took(run),
    }


@command.command(short_help="Show a run and its nodes.", epilog="Example: infraweave runs show RUN")
@click.argument("run_id", metavar="RUN")
@server_options
def show(run_id: str, url: str, token: str | None, as_json: bool) -> None:
    """Show RUN: how far it is, what each node did, and what it waits for."""
    run = call_server(url, token, lambda client: client.run(run_id).show())
    if as_json:
        show_json(run)
        return
    for name, value in _facts(run):
        click.echo(f"{name:<9} {value}")
    for waiting in run["waiting_for"]:
        click.echo(f"waits for {_waits(run_id, waiting)}")
    click.echo()
    show_table(_NODES, [{**node, "took": _took(node)} for node in run["nodes"]], _COLOURS)


def _facts(run: Json) -> list[tuple[str, str]]:
    """Return what there is to say of a run, apart from its nodes."""
    marks = [name for name in ("cancel_requested", "forced") if run[name]]
    tags = [f"{key}={value}" for key, value in run["tags"].items()]
    usage = run["usage"]
    facts = {
        "run": run["run_id"],
        "workflow": f"{run['workflow_id']} {run['workflow_version']}, started by {run['trigger']}",
        "parent": run["parent_run_id"],
        "rerun of": run.get("rerun_of"),
        "state": paint_state(run["state"]) + "".join(f", {mark.replace('_', ' ')}" for mark in marks),
        "error": run["error"] and failure(run["state"], run["error"]),
        "tags": plain(", ".join(tags)),
        "created": run["created_at"],
        "not before": run.get("start_at"),
        "started": run["started_at"],
        "finished": run["finished_at"],
        "used": usage["tokens"] and f"{usage['tokens']:,} tokens, {usage['cost_micro_usd'] / 1e6:.6f} USD",
    }
    return [(name, str(value)) for name, value in facts.items() if value]


def _waits(run_id: str, waiting: Json) -> str:
    """Return what a run waits for, and what would let it go on."""
    if waiting.get("reason"):
        return plain(f"{waiting['node']}: {waiting['reason']}")
    until = f", until {waiting['deadline']}" if waiting["deadline"] else ""
    asked = f" ({waiting['prompt']})" if waiting["prompt"] else ""
    answer = f"infraweave runs signal {run_id} {waiting['signal']}"
    return plain(f"{waiting['node']}{asked} since {waiting['since']}{until}; answer with: {answer}")


def _took(of: Json) -> str | None:
    from infraweave.core.data.values import from_rfc3339

    if not of["started_at"] or not of["finished_at"]:
        return None
    return _spelled(from_rfc3339(of["finished_at"]) - from_rfc3339(of["started_at"]))


def _spelled(milliseconds: int) -> str:
    from infraweave.core.data.values import format_duration

    return f"{milliseconds}ms" if milliseconds < 1000 else format_duration(milliseconds / 1000)


@command.command(short_help="Print a run's result.", epilog="Example: infraweave runs result RUN --wait")
@click.argument("run_id", metavar="RUN")
@click.option("--wait", is_flag=True, help="Wait for the end.")
@server_options
def result(run_id: str, wait: bool, url: str, token: str | None, as_json: bool) -> None:
    """Print the result of RUN; exit with 1 where it failed, was cancelled, or has not ended."""

    async def ask(client: Client) -> int:
        run = client.run(run_id)
        if wait:
            await run.show()  # so that a mistake, or a server that is not there, is told at once
            return await wait_for_end(run, watch=False, as_json=as_json)
        return show_outcome(await run.outcome(wait=False), as_json=as_json)

    sys.exit(call_server(url, token, ask))


@command.command(short_help="List every attempt of a run.", epilog="Example: infraweave runs history RUN")
@click.argument("run_id", metavar="RUN")
@server_options
def history(run_id: str, url: str, token: str | None, as_json: bool) -> None:
    """List what RUN did, a row for each attempt; inputs, outputs and tracebacks are in --json."""
    rows = call_server(url, token, lambda client: client.run(run_id).history())
    if as_json:
        show_json({"history": rows})
    else:
        show_table(_ATTEMPTS, [_attempt(row) for row in rows], _COLOURS)


def _attempt(row: Json) -> Json:
    shown = {**row, "node": node_label(row), "took": _took(row), "error": row["error"] and _why(row["error"])}
    return {**shown, **_cut_off(row)} if is_interruption(row["error"]) else shown


def _cut_off(row: Json) -> Json:
    """Return how an attempt looks that the end of the process cut off, which is nobody's failure.

    Of a crash, which kept no time, it is known when the attempt was found: it took so long at most.
    """
    took = _spelled(row["latency_ms"]) if row["latency_ms"] else f"at most {_took(row)}"
    return {"state": "interrupted", "took": took}


def _why(error: Json) -> str:
    """Return why an attempt failed, and where in the author's code."""
    from infraweave.core.run.tracebacks import innermost_place

    place = innermost_place(error.get("traceback") or "")
    return f"{error['code']}: {error['message']}" + (f" ({place})" if place else "")


@command.command(short_help="Say why a run is not moving.", epilog="Example: infraweave runs explain RUN")
@click.argument("run_id", metavar="RUN")
@server_options
def explain(run_id: str, url: str, token: str | None, as_json: bool) -> None:
    """Say in one sentence why RUN is not moving, or that it is."""
    told = call_server(url, token, lambda client: client.run(run_id).explain())
    if as_json:
        show_json(told)
    else:
        click.echo(plain(told["explanation"]))
