"""``infraweave workflows``: check declarations and draw graphs, without a server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infraweave.cli.files import load_workflows
from infraweave.cli.output import FAILED, USAGE, fail, show_json

if TYPE_CHECKING:
    from infraweave.core.document import Document

PATHS = click.Path(exists=True, path_type=Path)


@click.group(epilog="Example: infraweave workflows check workflows.example")
def command() -> None:
    """Check workflow files, draw their graphs."""


@command.command(epilog="Example: infraweave workflows check workflows.example")
@click.argument("workflows", nargs=-1, type=PATHS)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def check(workflows: tuple[Path, ...], as_json: bool) -> None:
    """Compile WORKFLOWS (files or folders, default workflows/) and list every mistake at once."""
    from infraweave.authoring.loader import LoadError

    faults: list[str] = []
    documents: list[Document] = []
    try:
        documents = [workflow.compile() for workflow in load_workflows(workflows)]
    except LoadError as error:
        faults = list(error.faults)
    found = [{"workflow_id": d.workflow_id, "version": d.version, "nodes": len(d.nodes)} for d in documents]
    if as_json:
        show_json({"workflows": found, "faults": faults})
    else:
        for fault in faults:
            click.echo(fault, err=True)
        for line in found:
            click.echo(f"{line['workflow_id']} {line['version']}: {line['nodes']} nodes, no mistakes")
    sys.exit(FAILED if faults else 0)


@command.command(epilog="Example: infraweave workflows graph workflows.example/checkout.py --format dot")
@click.argument("file", type=PATHS)
@click.option("--format", "form", type=click.Choice(["mermaid", "json", "dot"]), default="mermaid")
@click.option("--workflow", help="Which workflow, where the file has several.")
def graph(file: Path, form: str, workflow: str | None) -> None:
    """Draw the graph of a workflow of FILE; json prints its definition document."""
    from infraweave.authoring import graph_text
    from infraweave.core.codec import document_to_json

    document = _chosen(file, workflow)
    if form == "json":
        show_json(document_to_json(document))
    else:
        click.echo(graph_text.dot(document) if form == "dot" else graph_text.mermaid(document))


def _chosen(file: Path, wanted: str | None) -> Document:
    documents = {d.workflow_id: d for d in (workflow.compile() for workflow in load_workflows([file]))}
    if len(documents) == 1:
        wanted = wanted or next(iter(documents))
    if wanted is None or wanted not in documents:
        fail(f"choose one of {', '.join(documents)} with --workflow", code=USAGE)
    return documents[wanted]
