"""``infraweave workflows`` with a server: publish, compare, list, show and activate versions."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infraweave.cli.input_files import load_workflows, read_object
from infraweave.cli.output import USAGE, echo_err, fail, paint, show_json, show_table
from infraweave.cli.remote import call_server, server_options

if TYPE_CHECKING:
    from infraweave.client import Client

Json = dict[str, Any]

#: change → its sign, and its colour
_SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}


@click.command(epilog="Example: infraweave workflows publish label.json --activate")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--activate", is_flag=True, help="Make this the version of new runs. A first version is active anyway."
)
@server_options
def publish(file: Path, activate: bool, url: str, token: str | None, as_json: bool) -> None:
    """Publish FILE: a definition document (FILE.json, or - for stdin), or the workflows of FILE.py."""
    done = []
    for document in _documents(file):
        done.append(call_server(url, token, partial(_publish, document=document, activate=activate)))
        if not as_json:
            _print_result(done[-1])
    if as_json:
        show_json({"published": done})


@click.command(epilog="Example: infraweave workflows diff checkout-flow v2.3 v2.4")
@click.argument("workflow_id", metavar="ID")
@click.argument("from_version", metavar="V1")
@click.argument("to_version", metavar="V2")
@server_options
def diff(
    workflow_id: str, from_version: str, to_version: str, url: str, token: str | None, as_json: bool
) -> None:
    """List how version V2 of a workflow differs from V1, one difference per line."""
    found = call_server(url, token, lambda client: client.diff(workflow_id, from_version, to_version))
    if as_json:
        versions = {"workflow_id": workflow_id, "from_version": from_version, "to_version": to_version}
        show_json({**versions, "differences": found})
    else:
        click.echo("\n".join(_lines(found)) or f"{from_version} and {to_version} have the same content.")


@click.command("list", epilog="Example: infraweave workflows list")
@server_options
def list_(url: str, token: str | None, as_json: bool) -> None:
    """List the workflows of a server."""
    found = call_server(url, token, lambda client: client.request("GET", "/v1/workflows"))
    if as_json:
        show_json(found)
    else:
        show_table(("workflow_id", "active_version", "versions"), found["workflows"])


@click.command(epilog="Example: infraweave workflows show checkout-flow --version v2.4 > checkout.json")
@click.argument("workflow_id", metavar="ID")
@click.option("--version", metavar="V", help="Print the definition document of this version.")
@server_options
def show(workflow_id: str, version: str | None, url: str, token: str | None, as_json: bool) -> None:
    """Show the versions of a workflow with their open runs, or the document of one version."""
    if version is not None:
        show_json(call_server(url, token, lambda client: client.document(workflow_id, version)))
        return
    found = call_server(url, token, lambda client: client.workflow(workflow_id))
    if as_json:
        show_json(found)
    else:
        _show_versions(found["versions"])


@click.command(epilog="Example: infraweave workflows activate checkout-flow v2.3")
@click.argument("workflow_id", metavar="ID")
@click.argument("version")
@server_options
def activate(workflow_id: str, version: str, url: str, token: str | None, as_json: bool) -> None:
    """Make VERSION the version of new runs, to release it or to roll back."""
    found = call_server(url, token, lambda client: client.activate(workflow_id, version))
    if as_json:
        show_json(found)
    else:
        click.echo(f"{workflow_id} {version} is active.")
        _show_versions(found.get("versions", ()))  # without the read grant, the response has none


@click.command(epilog="Example: infraweave workflows schema > workflow.schema.json")
def schema() -> None:
    """Print the JSON Schema of definition documents, for editors. It needs no server."""
    from infraweave.api.workflows.document_schema import workflow_schema

    show_json(workflow_schema())


COMMANDS: Sequence[click.Command] = (publish, diff, list_, show, activate, schema)


# --- publishing --------------------------------------------------------------------------------------------


def _documents(file: Path) -> list[Json]:
    """Return the documents of a file."""
    from infraweave.core.workflow import document_codec

    if file.suffix == ".py":
        return [document_codec.document_to_json(workflow.compile()) for workflow in load_workflows([file])]
    try:
        return [read_object(sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes())]
    except OSError as error:
        fail(f"{file}: {error.strerror}", code=USAGE)
    except ValueError as error:
        fail(f"{file}: {error}", code=USAGE)


async def _publish(client: Client, *, document: Json, activate: bool) -> Json:
    """Publish a document; return the response with the differences and the open runs of each version."""
    from infraweave.client import ClientError

    done = await client.publish(document, activate=activate)
    try:
        return {**done, **await _context(client, done)}
    except ClientError as error:
        echo_err(f"Published, but differences and open runs cannot be shown: {error.message}")
        return {**done, "differences": None, "versions": None}


async def _context(client: Client, done: Json) -> Json:
    workflow_id, version, before = done["workflow_id"], done["version"], done["previously_active"]
    workflow = await client.workflow(workflow_id)
    found = [] if before in (None, version) else await client.diff(workflow_id, before, version)
    return {"differences": found, "versions": workflow["versions"]}


def _print_result(done: Json) -> None:
    version, before = done["version"], done["previously_active"]
    what = "published" if done["created"] else "already existed with the same content"
    now = "active" if done["active_version"] == version else f"not active ({done['active_version']} is)"
    click.echo(f"{done['workflow_id']} {version} {what}, {now}")
    if done["differences"]:
        tense = "is" if done["active_version"] == before else "was"
        click.echo(f"Differences from {before}, which {tense} active:")
        click.echo("\n".join(f"  {line}" for line in _lines(done["differences"])))
    if done["versions"]:
        _show_versions(done["versions"])
    for reference in done["unresolved"]:
        click.echo(f"No code is loaded for {reference}. Nodes that use it wait until it is loaded.")
    for workflow in done["missing_workflows"]:
        click.echo(f"There is no workflow {workflow} yet. Nodes that start it fail until it exists.")


def _lines(found: Sequence[Json]) -> Iterator[str]:
    for difference in found:
        sign, colour = _SIGNS[difference["change"]]
        yield paint(f"{sign} {difference['text']}", colour)


def _show_versions(versions: Sequence[Json]) -> None:
    rows = [{**version, "active": "yes" if version["active"] else None} for version in versions]
    show_table(("version", "active", "open_runs", "created_at"), rows)
