"""``infraweave workflows``: the group, and the commands that read workflow files without a server."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infraweave.cli import workflow_versions
from infraweave.cli.input_files import load_workflows, survey_workflows
from infraweave.cli.options import json_option
from infraweave.cli.output import FAILED, USAGE, echo_err, fail, show_json, show_table

if TYPE_CHECKING:
    from infraweave.core.workflow.document import Document


@click.group(epilog="Example: infraweave workflows check workflows.example")
def command() -> None:
    """Check, draw, publish, compare and activate workflows."""


for _command in workflow_versions.COMMANDS:
    command.add_command(_command)


@command.command(
    short_help="List every mistake in workflow files.",
    epilog="Example: infraweave workflows check workflows.example",
)
@click.argument("workflows", nargs=-1, type=click.Path(path_type=Path))
@json_option
def check(workflows: tuple[Path, ...], as_json: bool) -> None:
    """Compile WORKFLOWS (files or folders, default workflows/) and list all mistakes."""
    found, faults = survey_workflows(workflows)
    rows = [
        {"workflow_id": d.workflow_id, "version": d.version, "nodes": len(d.nodes), "file": str(file)}
        for file, d in ((file, workflow.compile()) for file, workflow in found)
    ]
    if as_json:
        show_json({"workflows": rows, "faults": faults})
    elif faults:
        click.echo("\n".join(faults))
        echo_err("infraweave: 1 mistake" if len(faults) == 1 else f"infraweave: {len(faults)} mistakes")
    else:
        show_table(["workflow_id", "version", "nodes", "file"], rows)
    sys.exit(FAILED if faults else 0)


@command.command(
    short_help="Draw the graph of a workflow.",
    epilog="Example: infraweave workflows graph workflows.example/checkout.py --format dot",
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["mermaid", "json", "dot"]),
    default="mermaid",
    show_default=True,
    help="mermaid for GitHub, dot for Graphviz, json for the definition document.",
)
@click.option("--workflow", metavar="ID", help="Which workflow, if FILE has several.")
def graph(file: Path, form: str, workflow: str | None) -> None:
    """Print the graph of a workflow in FILE."""
    from infraweave.authoring import graph_text
    from infraweave.core.workflow.document_codec import document_to_json

    document = _chosen(file, workflow)
    if form == "json":
        show_json(document_to_json(document))
    else:
        click.echo(graph_text.dot(document) if form == "dot" else graph_text.mermaid(document))


def _chosen(file: Path, wanted: str | None) -> Document:
    """Return the chosen document: by its id, or by ID@VERSION if the file has several versions."""
    documents = [workflow.compile() for workflow in load_workflows([file])]
    counts = Counter(document.workflow_id for document in documents)
    names = {
        d.workflow_id if counts[d.workflow_id] == 1 else f"{d.workflow_id}@{d.version}": d for d in documents
    }
    if wanted is None and len(names) == 1:
        return documents[0]
    if wanted not in names:
        problem = f"There is no workflow {wanted} in {file}" if wanted else f"{file} has several workflows"
        fail(f"{problem}; choose one of {', '.join(names)} with --workflow", code=USAGE)
    return names[wanted]
