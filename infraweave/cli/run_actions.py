"""``infraweave runs cancel``, ``terminate``, ``resume`` and ``signal``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from infraweave.cli.input_files import read_json
from infraweave.cli.output import FAILED, USAGE, echo_err, fail, paint_state, plain, show_json
from infraweave.cli.remote import call_server, server_options
from infraweave.core.lazy_records import frozen

if TYPE_CHECKING:
    from infraweave.client import Client, ClientError

Json = dict[str, Any]

#: States that are final.
_ENDED = ("succeeded", "failed", "cancelled")


@click.command(
    short_help="Stop a run and let it clean up.",
    epilog="Example: infraweave runs cancel RUN --reason 'ordered twice'",
)
@click.argument("run_id", metavar="RUN")
@click.option("--reason", help="A reason, shown with the event.")
@server_options
def cancel(run_id: str, reason: str | None, url: str, token: str | None, as_json: bool) -> None:
    """Ask RUN to stop: running steps may clean up, and completed steps are compensated in reverse order.

    This command does not wait for that; `infraweave runs watch` does. A run that has ended does not change.
    """
    run = call_server(url, token, lambda client: client.run(run_id).cancel(reason))
    if as_json:
        show_json(run)
    elif run["state"] == "cancelled":  # by this command or earlier
        click.echo(f"{run_id} is {paint_state('cancelled')}")
    elif run["state"] in _ENDED:
        click.echo(f"{run_id} had already ended: {paint_state(run['state'])}")
    else:
        click.echo(f"{run_id} is being cancelled")


@click.command(
    short_help="End a run at once, without clean-up.",
    epilog="Example: infraweave runs terminate RUN --reason 'stuck in charge' --yes",
)
@click.argument("run_id", metavar="RUN")
@click.option("--reason", help="A reason, shown with the event.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation; required without a terminal.")
@server_options
def terminate(run_id: str, reason: str | None, yes: bool, url: str, token: str | None, as_json: bool) -> None:
    """End RUN at once, without clean-up: no compensation runs, and results of running steps are ignored.

    To let a run clean up, use `infraweave runs cancel`.
    """
    if not yes:
        _confirm(run_id)
    run = call_server(url, token, lambda client: client.run(run_id).terminate(reason))
    if as_json:
        show_json(run)
    elif "forced" not in run:  # without the read grant, the response has only the state
        click.echo(f"{run_id} is {paint_state(run['state'])}")
    elif run["forced"]:
        click.echo(f"{run_id} is terminated; no compensation ran")
    else:
        click.echo(f"{run_id} had already ended: {paint_state(run['state'])}")


@click.command(
    short_help="Continue a run that was set aside.",
    epilog="Example: infraweave runs resume RUN",
)
@click.argument("run_id", metavar="RUN")
@server_options
def resume(run_id: str, url: str, token: str | None, as_json: bool) -> None:
    """Continue RUN, which was set aside because the server died three times in a row while loading it.

    If the server dies once more, the run is set aside again. A run that is not set aside does not change.
    """
    run = call_server(url, token, lambda client: client.run(run_id).resume())
    if as_json:
        show_json(run)
    else:
        click.echo(f"{run_id} is {paint_state(run['state'])}")


def _confirm(run_id: str) -> None:
    if not sys.stdin.isatty():
        fail(
            "terminate runs no compensation; without a terminal, confirm it with --yes",
            code=USAGE,
        )
    echo_err("This ends the run at once: its steps do not clean up, and no compensation runs.")
    if not click.confirm(f"Terminate {run_id}?", err=True):
        fail("not confirmed; nothing was changed", code=FAILED)


# --- signals -----------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class SignalOptions:
    """The options of ``runs signal``."""

    run_id: str
    name: str
    payload_json: str | None
    request_id: str | None

    def payload(self) -> Any:
        """Return the payload; null if none was given."""
        return None if self.payload_json is None else read_json(self.payload_json, "--payload")

    def matches(self, waiting: Json) -> bool:
        """Tell whether it matches an item of ``waiting_for``."""
        if waiting["signal"] != self.name:
            return False
        return self.request_id is None or waiting["request_id"] in (None, self.request_id)


@click.command(
    short_help="Send a signal, or answer an input request.",
    epilog="""Example: infraweave runs signal RUN approval --payload '{"approved": true}'""",
)
@click.argument("run_id", metavar="RUN")
@click.argument("name")
@click.option("--payload", "payload_json", metavar="JSON|@FILE|-", help="The payload; - reads stdin.")
@click.option(
    "--request-id",
    metavar="ID",
    help="Deliver once per ID; may name the input request to answer.",
)
@server_options
def signal(url: str, token: str | None, as_json: bool, **options: Any) -> None:
    """Send the signal NAME to RUN, or answer its input request of that name.

    Without --payload, at a terminal, this command asks for each field of the answer.
    """
    chosen = SignalOptions(**options)
    payload = chosen.payload()
    waiting = None
    if chosen.payload_json is None and sys.stdin.isatty():
        shown = call_server(url, token, lambda client: client.run(chosen.run_id).show())
        waiting = next(filter(chosen.matches, shown["waiting_for"]), None)
    if waiting is not None and (waiting["prompt"] or waiting["schema"]):
        receipt = _prompt_and_send(url, token, chosen, waiting)
    else:
        receipt = call_server(url, token, lambda client: _send(client, chosen, chosen.request_id, payload))
    _show_receipt(receipt, as_json=as_json)


async def _send(client: Client, chosen: SignalOptions, request_id: str | None, payload: Any) -> Json:
    return await client.run(chosen.run_id).signal(chosen.name, payload, request_id=request_id)


def _prompt_and_send(url: str, token: str | None, chosen: SignalOptions, waiting: Json) -> Json:
    """Ask at the terminal until the server accepts the answer; return the receipt."""
    from infraweave.cli.prompts import ask_payload
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
        payload = ask_payload(waiting["prompt"] or f"{chosen.name}:", waiting["schema"] or {})
        answer = call_server(url, token, send)
        if not isinstance(answer, ClientError):
            return dict(answer)
        echo_err(f"infraweave: {plain(answer.message)}")


def _show_receipt(receipt: Json, *, as_json: bool) -> None:
    if as_json:
        show_json(receipt)
    else:
        done = "was already delivered" if receipt["duplicate"] else "is delivered"
        click.echo(f"{receipt['name']} {done}, as {receipt['request_id']}")


COMMANDS: Sequence[click.Command] = (cancel, terminate, resume, signal)
