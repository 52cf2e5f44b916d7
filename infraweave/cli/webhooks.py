"""``infraweave webhooks``: manages the webhooks of a server; their signed deliveries start runs."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import click

from infraweave.cli.input_files import read_json
from infraweave.cli.output import USAGE, fail, show_json, show_table
from infraweave.cli.remote import call_server, server_options
from infraweave.core.workflow.triggers import SCHEMES

COLUMNS = ("name", "workflow_id", "path", "scheme", "signature_header", "delivery", "declared_in")


@click.group(epilog="Example: infraweave webhooks list")
def command() -> None:
    """List, create and delete webhooks."""


@command.command("list", epilog="Example: infraweave webhooks list --json")
@click.option("--workflow", metavar="ID", help="Only webhooks of this workflow.")
@server_options
def list_(workflow: str | None, url: str, token: str | None, as_json: bool) -> None:
    """List webhooks and their paths, without their secrets."""
    params = {"workflow_id": workflow}
    found = call_server(url, token, lambda client: client.request("GET", "/v1/webhooks", params=params))
    if as_json:
        show_json(found)
    else:
        show_table(COLUMNS, found["webhooks"])


@command.command(epilog="Example: infraweave webhooks create deploy pushed --delivery X-GitHub-Delivery")
@click.argument("workflow_id", metavar="WORKFLOW")
@click.argument("name")
@click.option("--secret-file", type=click.File(), help="The sender's secret; - for stdin.")
@click.option(
    "--scheme",
    type=click.Choice(SCHEMES),
    default="hex",
    show_default=True,
    help="How deliveries are signed. standard: Standard Webhooks, with its own headers.",
)
@click.option(
    "--signature-header", default="X-Signature", show_default=True, help="The header with the signature."
)
@click.option("--timestamp-header", help="The header with the time of signing, which is signed too.")
@click.option("--tolerance", default="5m", show_default=True, help="How far that time may differ from now.")
@click.option(
    "--delivery",
    default="X-Delivery-Id",
    show_default=True,
    help="The header, or a template such as {body.id}, that identifies a delivery.",
)
@click.option(
    "--input",
    "input_json",
    default='"{body}"',
    show_default=True,
    metavar="JSON|@FILE|-",
    help="The input of runs; may contain {body…}, {headers…} and {delivery_id}.",
)
@server_options
def create(
    url: str, token: str | None, as_json: bool, secret_file: Any, input_json: str, **given: Any
) -> None:
    """Create the webhook NAME for WORKFLOW. Its secret is printed only now."""
    secret = _secret(secret_file)
    body = {**given, "secret": secret, "input": read_json(input_json, "--input")}
    made = call_server(url, token, lambda client: client.request("POST", "/v1/webhooks", body=body))
    if as_json:
        show_json(made)
    else:
        click.echo(f"deliver to {url.rstrip('/')}{made['path']}")
        click.echo(f"secret     {made['secret'] if secret is None else '(as given)'}")


@command.command(epilog="Example: infraweave webhooks delete pushed")
@click.argument("name")
@server_options
def delete(name: str, url: str, token: str | None, as_json: bool) -> None:
    """Delete a webhook created with this command or the API. Its runs stay."""
    path = f"/v1/webhooks/{quote(name, safe='')}"
    call_server(url, token, lambda client: client.request("DELETE", path))
    if as_json:
        show_json({"name": name, "deleted": True})
    else:
        click.echo(f"{name} deleted")


def _secret(file: Any) -> str | None:
    """Return the secret in a file. It is never an argument, which other users of the machine could read."""
    if file is None:
        return None
    secret = str(file.read()).strip()
    if not secret:
        fail(f"--secret-file {json.dumps(file.name)} is empty", code=USAGE)
    return secret
