"""``infraweave runs cancel``, ``terminate``, ``resume`` and ``signal``: what changes the course of a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from attrs import frozen

from infraweave.cli.input_files import read_json
from infraweave.cli.output import FAILED, USAGE, echo_err, fail, paint_state, plain, show_json
from infraweave.cli.remote import call_server, server_options

if TYPE_CHECKING:
    from infraweave.client import Client, ClientError

Json = dict[str, Any]

#: States that nothing changes any more.
_ENDED = ("succeeded", "failed", "cancelled")


@click.command(
    short_help="Stop a run and let it clean up.",
    epilog="Example: infraweave runs cancel RUN --reason 'ordered twice'",
)
@click.argument("run_id", metavar="RUN")
@click.option("--reason", help="Kept with the event, for people.")
@server_options
def cancel(run_id: str, reason: str | None, url: str, token: str | None, as_json: bool) -> None:
    """Ask RUN to stop: steps in flight may clean up, and completed ones are compensated in reverse order.

    The answer does not wait for that; `infraweave runs watch` does. A run that has ended stays as it is.
    """
    run = call_server(url, token, lambda client: client.run(run_id).cancel(reason))
    if as_json:
        show_json(run)
    elif run["state"] == "cancelled":  # by this or before
        click.echo(f"{run_id} is {paint_state('cancelled')}")
    elif run["state"] in _ENDED:
        click.echo(f"{run_id} had ended: {paint_state(run['state'])}")
    else:
        click.echo(f"{run_id} is being cancelled")


@click.command(
    short_help="End a run by force.",
    epilog="Example: infraweave runs terminate RUN --reason 'stuck in charge' --yes",
)
@click.argument("run_id", metavar="RUN")
@click.option("--reason", help="Kept with the event, for people.")
@click.option("--yes", is_flag=True, help="Do not ask; needed where there is no terminal.")
@server_options
def terminate(run_id: str, reason: str | None, yes: bool, url: str, token: str | None, as_json: bool) -> None:
    """End RUN at once, without clean-up: no compensation runs, what its steps still do is ignored.

    `infraweave runs cancel` is what lets a run clean up.
    """
    if not yes:
        _confirm(run_id)
    run = call_server(url, token, lambda client: client.run(run_id).terminate(reason))
    if as_json:
        show_json(run)
    elif "forced" not in run:  # who may not read it is told the state alone
        click.echo(f"{run_id} is {paint_state(run['state'])}")
    elif run["forced"]:
        click.echo(f"{run_id} is terminated; no compensation ran")
    else:
        click.echo(f"{run_id} had ended: {paint_state(run['state'])}")


@click.command(
    short_help="Let a run go on that was set aside.",
    epilog="Example: infraweave runs resume RUN",
)
@click.argument("run_id", metavar="RUN")
@server_options
def resume(run_id: str, url: str, token: str | None, as_json: bool) -> None:
    """Let RUN go on, which is set aside because the server died three times in a row as it was taken up.

    If the server dies once more, the run is set aside again. A run that is not set aside stays as it is.
    """
    run = call_server(url, token, lambda client: client.run(run_id).resume())
    if as_json:
        show_json(run)
    else:
        click.echo(f"{run_id} is {paint_state(run['state'])}")


def _confirm(run_id: str) -> None:
    if not sys.stdin.isatty():
        fail("terminate runs no compensation; say --yes, for there is no terminal to ask at", code=USAGE)
    echo_err("This ends the run at once: its steps clean up nothing, and no compensation runs.")
    if not click.confirm(f"Terminate {run_id}?", err=True):
        fail("nothing was done", code=FAILED)


# --- signals -----------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class SignalOptions:
    """The options of ``runs signal``."""

    run_id: str
    name: str
    payload_json: str | None
    request_id: str | None

    def payload(self) -> Any:
        """Return the payload as it was given; null where none was."""
        return None if self.payload_json is None else read_json(self.payload_json, "--payload")

    def is_asked_by(self, waiting: Json) -> bool:
        """Tell whether it answers what a run waits for."""
        if waiting["signal"] != self.name:
            return False
        return self.request_id is None or waiting["request_id"] in (None, self.request_id)


@click.command(
    short_help="Send a signal, or answer a question.",
    epilog="""Example: infraweave runs signal RUN approval --payload '{"approved": true}'""",
)
@click.argument("run_id", metavar="RUN")
@click.argument("name")
@click.option(
    "--payload", "payload_json", metavar="JSON|@FILE|-", help="What to tell the run; - reads stdin."
)
@click.option("--request-id", metavar="ID", help="Delivered once under it; an announced one answers that.")
@server_options
def signal(url: str, token: str | None, as_json: bool, **options: Any) -> None:
    """Send the signal NAME to RUN, or answer its question of that name.

    Without --payload, and at a terminal, what the run asks for is asked here, field by field.
    """
    chosen = SignalOptions(**options)
    payload = chosen.payload()
    waiting = None
    if chosen.payload_json is None and sys.stdin.isatty():
        shown = call_server(url, token, lambda client: client.run(chosen.run_id).show())
        waiting = next(filter(chosen.is_asked_by, shown["waiting_for"]), None)
    if waiting is not None and (waiting["prompt"] or waiting["schema"]):
        receipt = _asked(url, token, chosen, waiting)
    else:
        receipt = call_server(url, token, lambda client: _send(client, chosen, chosen.request_id, payload))
    _show_receipt(receipt, as_json=as_json)


async def _send(client: Client, chosen: SignalOptions, request_id: str | None, payload: Any) -> Json:
    return await client.run(chosen.run_id).signal(chosen.name, payload, request_id=request_id)


def _asked(url: str, token: str | None, chosen: SignalOptions, waiting: Json) -> Json:
    """Ask the person at the terminal until the answer fits; return the receipt."""
    from infraweave.cli.prompts import ask
    from infraweave.client import ClientError

    request_id = chosen.request_id or waiting["request_id"]

    async def send(client: Client) -> Json | ClientError:
        try:
            return await _send(client, chosen, request_id, payload)
        except ClientError as error:
            if error.code == "payload_invalid":
                return error
            raise

    if waiting.get("data") is not None:
        echo_err(json.dumps(waiting["data"], indent=2))
    while True:
        payload = ask(waiting["prompt"] or f"{chosen.name}:", waiting["schema"] or {})
        answer = call_server(url, token, send)
        if not isinstance(answer, ClientError):
            return dict(answer)
        echo_err(f"infraweave: {plain(answer.message)}")


def _show_receipt(receipt: Json, *, as_json: bool) -> None:
    if as_json:
        show_json(receipt)
    else:
        done = "was delivered before" if receipt["duplicate"] else "is delivered"
        click.echo(f"{receipt['name']} {done}, as {receipt['request_id']}")


COMMANDS: Sequence[click.Command] = (cancel, terminate, resume, signal)
