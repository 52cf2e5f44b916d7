"""``infraweave runs start`` and ``start-batch``: start one run or many."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infraweave.cli.input_files import read_json
from infraweave.cli.output import FAILED, USAGE, echo_err, fail, show_json, show_table
from infraweave.cli.remote import call_server, server_options
from infraweave.cli.run_follow import START_HEADERS, follow_options, report_start, start_headers
from infraweave.core.lazy_records import frozen

if TYPE_CHECKING:
    from infraweave.client import Client

Json = dict[str, Any]

#: Limits of one batch request. The server allows as many items, and larger bodies.
_MOST_ITEMS, _MOST_BYTES = 1_000, 2 << 20


@frozen(kw_only=True)
class StartOptions:
    """The options of ``runs start``."""

    workflow: str
    version: str | None
    input_json: str
    idempotency_key: str | None
    tags: tuple[str, ...]
    at: str | None
    delay: str | None
    wait: bool
    watch: bool
    as_json: bool

    def body(self) -> Json:
        """Return the body of the request."""
        body: Json = {"workflow_id": self.workflow, "input": read_json(self.input_json, "--input")}
        if self.version is not None:
            body["workflow_version"] = self.version
        if self.tags:
            body["tags"] = _tags(self.tags)
        if self.at is not None or self.delay is not None:
            body["start_at"] = _start_at(self.at, self.delay)
        return body


@click.command(
    short_help="Start a run.",
    epilog="Example: infraweave runs start nightly-backup --in 2h --tag team=ops",
)
@click.argument("workflow")
@click.option("--version", metavar="V", help="The version to run. Default: the active one.")
@click.option(
    "--input", "input_json", default="{}", metavar="JSON|@FILE|-", help="The run's input; - reads stdin."
)
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="Repeatable.")
@click.option("--at", metavar="TIME", help="Start at this time, such as 2026-07-04T18:00:00Z.")
@click.option("--in", "delay", metavar="DURATION", help="Start after this delay, such as 2h.")
@follow_options
@server_options
def start(url: str, token: str | None, **options: Any) -> None:
    """Start a run of WORKFLOW and print its id; with --wait or --watch, print its result."""
    chosen = StartOptions(**options)
    body = chosen.body()
    sys.exit(call_server(url, token, lambda client: _start(client, chosen, body)))


async def _start(client: Client, chosen: StartOptions, body: Json) -> int:
    headers = start_headers(chosen.idempotency_key)
    run = await client.request("POST", "/v1/runs", body=body, headers=headers)
    return await report_start(client, run, chosen)


def _tags(texts: Sequence[str]) -> dict[str, str]:
    tags = dict(map(read_tag, texts))
    if len(tags) < len(texts):
        fail("--tag: each key may be given only once", code=USAGE)
    return tags


def read_tag(text: str) -> tuple[str, str]:
    """Return the key and the value of KEY=VALUE."""
    key, sign, value = text.partition("=")
    if not sign or not key:
        fail(f"--tag: expected KEY=VALUE, not {text!r}", code=USAGE)
    return key, value


def _start_at(at: str | None, delay: str | None) -> str:
    from infraweave.core.data.values import rfc3339, to_seconds
    from infraweave.engine.clock import SystemClock

    if at is not None and delay is not None:
        fail("--at and --in exclude each other; give one of them", code=USAGE)
    if delay is None:
        return str(at)
    try:
        return rfc3339(SystemClock().now() + round(to_seconds(delay) * 1000))
    except ValueError as error:
        fail(f"--in: {error}", code=USAGE)


# --- many --------------------------------------------------------------------------------------------------


@click.command(
    "start-batch",
    short_help="Start many runs, one per line of a file.",
    epilog="Example: infraweave runs start-batch --workflow digest-flow inputs.jsonl",
)
@click.argument("file", metavar="FILE|-")
@click.option("--workflow", metavar="ID", help="Treat each line as an input of this workflow.")
@server_options
def start_batch(file: str, workflow: str | None, as_json: bool, url: str, token: str | None) -> None:
    """Start a run for each line of FILE, up to 1,000 in one transaction.

    A line is the JSON of a start request: {"workflow_id": …, "input": …, "workflow_version", "tags",
    "start_at", "idempotency_key"}. With --workflow, a line is only the input. After a failure, lines with an
    idempotency_key can be sent again; they start no run twice. A refused line does not affect the others, but
    makes the exit code 1.
    """
    items = [
        (line, {"workflow_id": workflow, "input": value} if workflow else value)
        for line, value in _lines(file)
    ]
    results = call_server(url, token, lambda client: _send(client, items))
    rows = [_row(line, result) for (line, _), result in zip(items, results, strict=True)]
    if as_json:
        show_json({"results": results})
    else:
        show_table(("line", "status", "run_id", "state", "error"), rows)
    refused = sum("error" in result for result in results)
    if refused:
        echo_err(f"infraweave: {refused:,} of {len(results):,} were refused")
    sys.exit(FAILED if refused else 0)


def _lines(file: str) -> Iterator[tuple[int, Any]]:
    """Yield the number and the JSON value of each line that is not empty."""
    from infraweave.core.data import json_codec

    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        fail(f"{file}: {error}", code=USAGE)
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, json_codec.parse(line.encode())
        except (ValueError, RecursionError) as error:
            fail(f"{file}, line {number} is not valid JSON; nothing was sent: {error}", code=USAGE)


async def _send(client: Client, items: Sequence[tuple[int, Any]]) -> list[Json]:
    results: list[Json] = []
    for part in _parts([item for _, item in items]):
        body = {"runs": part}
        answer = await client.request("POST", "/v1/runs/batch", body=body, headers=START_HEADERS)
        results += answer["results"]
        if len(results) < len(items):
            echo_err(f"{len(results):,} of {len(items):,} sent")
    return results


def _parts(items: Sequence[Any]) -> Iterator[list[Any]]:
    """Yield the items in parts that fit into one request."""
    part: list[Any] = []
    size = 0
    for item in items:
        length = len(json.dumps(item))
        if part and (len(part) == _MOST_ITEMS or size + length > _MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(item)
        size += length
    if part:
        yield part


def _row(line: int, result: Json) -> Json:
    run, error = result.get("run", {}), result.get("error")
    message = None if error is None else f"{error['code']}: {error['message']}"
    return {"line": line, "status": result["status"], "error": message, **run}


COMMANDS: Sequence[click.Command] = (start, start_batch)
