"""``infraweave schedules``: manages the schedules of a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import click

from infraweave.cli.input_files import read_json
from infraweave.cli.output import USAGE, fail, plain, show_json, show_table
from infraweave.cli.remote import call_server, server_options
from infraweave.core.workflow.triggers import CATCH_UPS, OVERLAPS

COLUMNS = ("schedule_id", "times", "next", "last_run_id", "state", "declared_in")
#: The fields of a change request, which needs them all.
_CHANGEABLE = ("cron", "timezone", "every", "anchor", "input", "catch_up", "overlap", "paused")


def timing_options(**defaults: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options of a schedule. Options without a default may be left out."""

    def option(flag: str, **more: Any) -> Any:
        default = defaults.get(flag.strip("-").replace("-", "_"))
        return click.option(flag, default=default, show_default=default is not None, **more)

    options = (
        option("--cron", metavar="FIELDS", help="Five fields, in Debian's cron syntax."),
        option("--timezone", help="An IANA time zone for --cron."),
        option("--every", metavar="DURATION", help="Such as 15m; instead of --cron."),
        option(
            "--anchor", metavar="TIME", help="Where --every starts to count. Default: 1970-01-01T00:00:00Z."
        ),
        click.option(
            "--input",
            "input_json",
            default=defaults.get("input_json"),
            metavar="JSON|@FILE|-",
            help="The input of runs; may contain {scheduled_at} and {schedule}.",
        ),
        option(
            "--catch-up",
            type=click.Choice(CATCH_UPS),
            help="What to do with times missed in a downtime.",
        ),
        option(
            "--overlap",
            type=click.Choice(OVERLAPS),
            help="What to do when a run of this schedule is still open.",
        ),
    )

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for add in reversed(options):
            command = add(command)
        return command

    return decorate


def _request(url: str, token: str | None, method: str, path: str, body: Any = None, **params: Any) -> Any:
    return call_server(url, token, lambda client: client.request(method, path, body=body, params=params))


def _path(schedule_id: str, act: str = "") -> str:
    return f"/v1/schedules/{quote(schedule_id, safe=':')}{act}"


@click.group(epilog="Example: infraweave schedules list")
def command() -> None:
    """List, create, change, pause and trigger schedules."""


@command.command("list", epilog="Example: infraweave schedules list --workflow nightly-backup")
@click.option("--workflow", metavar="ID", help="Only schedules of this workflow.")
@server_options
def list_(workflow: str | None, url: str, token: str | None, as_json: bool) -> None:
    """List schedules with their next times, and errors of their last times."""
    found = _request(url, token, "GET", "/v1/schedules", workflow_id=workflow)
    if as_json:
        show_json(found)
    else:
        show_table(COLUMNS, [_row(schedule) for schedule in found["schedules"]])
        for schedule in found["schedules"]:
            _print_error(schedule, f"{schedule['schedule_id']}: ")


@command.command(epilog="Example: infraweave schedules show nightly-backup:nightly")
@click.argument("schedule_id")
@server_options
def show(schedule_id: str, url: str, token: str | None, as_json: bool) -> None:
    """Show a schedule, its next times and the result of its last time."""
    _print(_request(url, token, "GET", _path(schedule_id)), as_json)


@command.command(
    epilog="Example: infraweave schedules create backup weekly --cron '30 3 * * 0' --timezone Europe/Zurich"
)
@click.argument("workflow_id", metavar="WORKFLOW")
@click.argument("name")
@timing_options(catch_up="last", overlap="skip", timezone="UTC", input_json="{}")
@click.option("--paused", is_flag=True, help="Start no runs until it is resumed.")
@server_options
def create(url: str, token: str | None, as_json: bool, input_json: str, **given: Any) -> None:
    """Create the schedule NAME for WORKFLOW."""
    body = {**given, "input": read_json(input_json, "--input")}
    _print(_request(url, token, "POST", "/v1/schedules", body), as_json)


@command.command(epilog="Example: infraweave schedules change backup:weekly --cron '30 4 * * 0'")
@click.argument("schedule_id")
@timing_options()
@server_options
def change(
    schedule_id: str, url: str, token: str | None, as_json: bool, input_json: str | None, **given: Any
) -> None:
    """Change a schedule created with this command or the API. Options not given stay unchanged."""
    if input_json is not None:
        given["input"] = read_json(input_json, "--input")
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        fail("nothing to change; give an option such as --cron '30 4 * * 0'", code=USAGE)
    found = _request(url, token, "GET", _path(schedule_id))
    _print(_request(url, token, "PUT", _path(schedule_id), _changed(found, changes)), as_json)


@command.command(epilog="Example: infraweave schedules pause nightly-backup:nightly")
@click.argument("schedule_id")
@server_options
def pause(schedule_id: str, url: str, token: str | None, as_json: bool) -> None:
    """Pause a schedule until it is resumed. Its waiting starts are dropped."""
    _print(_request(url, token, "POST", _path(schedule_id, "/pause")), as_json)


@command.command(epilog="Example: infraweave schedules resume nightly-backup:nightly")
@click.argument("schedule_id")
@server_options
def resume(schedule_id: str, url: str, token: str | None, as_json: bool) -> None:
    """Resume a schedule, from now on."""
    _print(_request(url, token, "POST", _path(schedule_id, "/resume")), as_json)


@command.command(epilog="Example: infraweave schedules trigger nightly-backup:nightly")
@click.argument("schedule_id")
@server_options
def trigger(schedule_id: str, url: str, token: str | None, as_json: bool) -> None:
    """Start one run of a schedule now."""
    run = _request(url, token, "POST", _path(schedule_id, "/trigger"))
    if as_json:
        show_json(run)
    else:
        click.echo(run["run_id"])


@command.command(epilog="Example: infraweave schedules delete nightly-backup:weekly")
@click.argument("schedule_id")
@server_options
def delete(schedule_id: str, url: str, token: str | None, as_json: bool) -> None:
    """Delete a schedule created with this command or the API. Its runs stay."""
    _request(url, token, "DELETE", _path(schedule_id))
    if as_json:
        show_json({"schedule_id": schedule_id, "deleted": True})
    else:
        click.echo(f"{schedule_id} deleted")


def _changed(schedule: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return the complete changed schedule. --cron replaces --every, and the other way round."""
    body = {name: schedule[name] for name in _CHANGEABLE}
    if "cron" in changes:
        body |= {"every": None, "anchor": None}
    elif "every" in changes:
        body |= {"cron": None, "timezone": "UTC"}
    return body | changes


def _row(schedule: dict[str, Any]) -> dict[str, Any]:
    zone = "" if schedule["timezone"] == "UTC" else f" {schedule['timezone']}"
    times = f"{schedule['cron']}{zone}" if schedule["cron"] else f"every {schedule['every']}"
    following = schedule["next_fire_times"][:1]
    state = "paused" if schedule["paused"] else "failing" if schedule["last_error"] else "active"
    return {**schedule, "times": times, "next": following, "state": state}


def _print(schedule: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(schedule)
        return
    if "next_fire_times" not in schedule:  # without the read grant, the response has no more fields
        click.echo(f"{schedule['schedule_id']} is {'paused' if schedule['paused'] else 'active'}")
        return
    show_table(COLUMNS, [_row(schedule)])
    for at in schedule["next_fire_times"][1:]:
        click.echo(f"then {at}")
    _print_error(schedule)


def _print_error(schedule: dict[str, Any], whose: str = "") -> None:
    if schedule["last_error"]:
        click.echo(plain(f"{whose}the last time started no run: {schedule['last_error']}"))
