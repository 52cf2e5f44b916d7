"""``infraweave runs``: the group, and the commands that show runs of a server."""

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
from infraweave.cli.run_follow import failure_text, show_outcome, wait_for_end

if TYPE_CHECKING:
    from infraweave.client import Client, RunPage

Json = dict[str, Any]

_LISTED = ("run_id", "state", "workflow", "trigger", "created_at", "took", "tags")
_NODES = ("node", "kind", "state", "attempts", "iterations", "started_at", "took", "tokens")
_ATTEMPTS = ("node", "kind", "attempt", "state", "started_at", "took", "tokens", "error")
#: The colours of the column ``state``.
_COLOURS = {"state": STATES}


@click.group(epilog="""Example: infraweave runs start checkout-flow --input '{"order_id": "o1"}'""")
def command() -> None:
    """Start, show and control runs of a server."""


for _command in (*run_start.COMMANDS, *run_rerun.COMMANDS, *run_watch.COMMANDS, *run_actions.COMMANDS):
    command.add_command(_command)


@command.command(
    "list",
    short_help="List runs, newest first.",
    epilog="Example: infraweave runs list --status running,retrying --workflow checkout-flow",
)
@click.option(
    "--status",
    metavar="STATES",
    help="Such as running,retrying or failed.",
)
@click.option("--workflow", "--workflow-id", "workflow_id", metavar="ID", help="Only runs of this workflow.")
@click.option("--version", "--workflow-version", "workflow_version", metavar="V", help="Only this version.")
@click.option("--trigger", metavar="T", help="Only runs started by api, cli, schedule, webhook, …")
@click.option("--tag", metavar="KEY=VALUE", help="Only runs with this tag.")
@click.option(
    "--parent",
    "parent_run_id",
    metavar="RUN|none",
    help="Only children of RUN; none: only root runs.",
)
@click.option("--started-after", metavar="TIME", help="Such as 2026-07-04T18:00:00Z.")
@click.option(
    "--started-before",
    metavar="TIME",
    help="Leaves out queued runs, which have not started.",
)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="The most runs to list.")
@click.option("--cursor", metavar="C", help="Continue from the next_cursor of an earlier list.")
@click.option("--all", "every", is_flag=True, help="List all runs, without a limit.")
@server_options
def list_(
    url: str, token: str | None, as_json: bool, every: bool, limit: int, cursor: str | None, **filters: Any
) -> None:
    """List the runs that the token may read, newest first."""
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
        echo_err(f"There are more than {len(found.runs)} runs; --all lists all.")


def _listed(run: Json) -> Json:
    return {
        **run,
        "workflow": f"{run['workflow_id']} {run['workflow_version']}",
        "tags": [f"{key}={value}" for key, value in run["tags"].items()],
        "took": _duration(run),
    }


@command.command(short_help="Show a run and its nodes.", epilog="Example: infraweave runs show RUN")
@click.argument("run_id", metavar="RUN")
@server_options
def show(run_id: str, url: str, token: str | None, as_json: bool) -> None:
    """Show RUN: its state, its nodes, and what it waits for."""
    run = call_server(url, token, lambda client: client.run(run_id).show())
    if as_json:
        show_json(run)
        return
    for name, value in _properties(run):
        click.echo(f"{name:<9} {value}")
    for waiting in run["waiting_for"]:
        click.echo(f"waits for {_describe_wait(run_id, waiting)}")
    click.echo()
    show_table(_NODES, [{**node, "took": _duration(node)} for node in run["nodes"]], _COLOURS)


def _properties(run: Json) -> list[tuple[str, str]]:
    """Return the properties of a run, without its nodes."""
    marks = [name for name in ("cancel_requested", "forced") if run[name]]
    tags = [f"{key}={value}" for key, value in run["tags"].items()]
    usage = run["usage"]
    facts = {
        "run": run["run_id"],
        "workflow": f"{run['workflow_id']} {run['workflow_version']}, started by {run['trigger']}",
        "parent": run["parent_run_id"],
        "rerun of": run.get("rerun_of"),
        "state": paint_state(run["state"]) + "".join(f", {mark.replace('_', ' ')}" for mark in marks),
        "error": run["error"] and failure_text(run["state"], run["error"]),
        "tags": plain(", ".join(tags)),
        "created": run["created_at"],
        "not before": run.get("start_at"),
        "started": run["started_at"],
        "finished": run["finished_at"],
        "used": usage["tokens"] and f"{usage['tokens']:,} tokens, {usage['cost_micro_usd'] / 1e6:.6f} USD",
    }
    return [(name, str(value)) for name, value in facts.items() if value]


def _describe_wait(run_id: str, waiting: Json) -> str:
    """Describe what a run waits for, and the command that answers it."""
    if waiting.get("reason"):
        return plain(f"{waiting['node']}: {waiting['reason']}")
    until = f", until {waiting['deadline']}" if waiting["deadline"] else ""
    asked = f" ({waiting['prompt']})" if waiting["prompt"] else ""
    answer = f"infraweave runs signal {run_id} {waiting['signal']}"
    return plain(f"{waiting['node']}{asked} since {waiting['since']}{until}; answer with: {answer}")


def _duration(of: Json) -> str | None:
    from infraweave.core.data.values import from_rfc3339

    if not of["started_at"] or not of["finished_at"]:
        return None
    return _format_duration(from_rfc3339(of["finished_at"]) - from_rfc3339(of["started_at"]))


def _format_duration(milliseconds: int) -> str:
    from infraweave.core.data.values import format_duration

    return f"{milliseconds}ms" if milliseconds < 1000 else format_duration(milliseconds / 1000)


@command.command(short_help="Print a run's result.", epilog="Example: infraweave runs result RUN --wait")
@click.argument("run_id", metavar="RUN")
@click.option("--wait", is_flag=True, help="Wait for the end of the run.")
@server_options
def result(run_id: str, wait: bool, url: str, token: str | None, as_json: bool) -> None:
    """Print the result of RUN. The exit code is 1 if it failed, was cancelled, or has not ended."""

    async def ask(client: Client) -> int:
        run = client.run(run_id)
        if wait:
            await run.show()  # fails at once if the run does not exist or the server is unreachable
            return await wait_for_end(run, watch=False, as_json=as_json)
        return show_outcome(await run.outcome(wait=False), as_json=as_json)

    sys.exit(call_server(url, token, ask))


@command.command(short_help="List every attempt of a run.", epilog="Example: infraweave runs history RUN")
@click.argument("run_id", metavar="RUN")
@server_options
def history(run_id: str, url: str, token: str | None, as_json: bool) -> None:
    """List the attempts of RUN. --json adds inputs, outputs and tracebacks."""
    rows = call_server(url, token, lambda client: client.run(run_id).history())
    if as_json:
        show_json({"history": rows})
    else:
        show_table(_ATTEMPTS, [_attempt(row) for row in rows], _COLOURS)


def _attempt(row: Json) -> Json:
    shown = {
        **row,
        "node": node_label(row),
        "took": _duration(row),
        "error": row["error"] and _error_text(row["error"]),
    }
    return {**shown, **_interrupted(row)} if is_interruption(row["error"]) else shown


def _interrupted(row: Json) -> Json:
    """Return the cells of an attempt that the end of the process interrupted.

    After a crash its end is unknown. The time until it was found is an upper bound.
    """
    took = _format_duration(row["latency_ms"]) if row["latency_ms"] else f"at most {_duration(row)}"
    return {"state": "interrupted", "took": took}


def _error_text(error: Json) -> str:
    """Describe why an attempt failed, and where in the author's code."""
    from infraweave.core.run.tracebacks import innermost_place

    place = innermost_place(error.get("traceback") or "")
    return f"{error['code']}: {error['message']}" + (f" ({place})" if place else "")


@command.command(short_help="Explain why a run is not moving.", epilog="Example: infraweave runs explain RUN")
@click.argument("run_id", metavar="RUN")
@server_options
def explain(run_id: str, url: str, token: str | None, as_json: bool) -> None:
    """Explain in one sentence why RUN is not moving, or say that it is."""
    answer = call_server(url, token, lambda client: client.run(run_id).explain())
    if as_json:
        show_json(answer)
    else:
        click.echo(plain(answer["explanation"]))
