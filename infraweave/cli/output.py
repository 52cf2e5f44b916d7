"""What people and scripts are shown: tables or one JSON document on stdout, remarks on stderr."""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

#: Exit codes of the command line's contract.
FAILED, USAGE, UNREACHABLE, DENIED = 1, 2, 3, 4
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
#: The colours of states, of runs as of nodes.
STATES = {
    "running": "cyan",
    "retrying": "yellow",
    "waiting": "magenta",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "yellow",
    "compensated": "yellow",
    "interrupted": "yellow",
}


def fail(message: str, *, code: int) -> NoReturn:
    """Write one line on stderr and exit."""
    click.echo(f"infraweave: {message}", err=True)
    sys.exit(code)


def echo_err(message: str) -> None:
    """Write progress on stderr."""
    click.echo(message, err=True)


def echo_error(error: str, faults: Sequence[tuple[str, str]]) -> None:
    """Write an error on stderr, and its faults, (path, message) each, below it unless it says all."""
    echo_err(f"infraweave: {error}")
    if len(faults) == 1 and faults[0][0].strip("/") in error:
        return
    for path, message in faults:
        echo_err(f"  {path or '/'}: {message.removeprefix(path).lstrip()}")


def show_json(value: Any) -> None:
    """Write one JSON document on stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=not _takes_everything()))


def show_line(value: Any) -> None:
    """Write one JSON document on one line of stdout, for those that read line by line."""
    click.echo(json.dumps(value, ensure_ascii=not _takes_everything(), separators=(",", ":")))


def _takes_everything() -> bool:
    """Tell whether stdout has a way to write every character."""
    return codecs.lookup(sys.stdout.encoding or "ascii").name.startswith("utf")


def escape_unencodable_output() -> None:
    """Let stdout and stderr of a small encoding show characters that they lack as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def show_table(
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    colours: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Write aligned columns on stdout; a dash stands for nothing.

    ``colours``: for a column, the colour of each of its texts.
    """
    texts = [[_text(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in [list(columns), *texts]) for i in range(len(columns))]
    palette = [(colours or {}).get(column, {}) for column in columns]
    click.echo(_style("  ".join(_filled([c.upper() for c in columns], widths)).rstrip()))
    for line in texts:
        cells = zip(line, _filled(line, widths), palette, strict=True)
        painted = (paint(cell, hues[text]) if text in hues else cell for text, cell, hues in cells)
        click.echo("  ".join(painted).rstrip())


def _filled(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]


def _style(text: str) -> str:
    return click.style(text, bold=True) if _is_colourful() else text


def paint(text: str, colour: str) -> str:
    """Return a text in a colour, where the reader sees colours and wants them."""
    return click.style(text, fg=colour) if _is_colourful() else text


def paint_state(state: str) -> str:
    """Return the state of a run or a node in its colour."""
    return paint(state, STATES[state]) if state in STATES else state


def _is_colourful() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def echo_indented(text: str, indent: int) -> None:
    """Write a text of several lines on stderr, below a remark and set in as far as that is."""
    for line in text.split("\n"):
        echo_err((" " * indent + plain(line)).rstrip())


def plain(text: str) -> str:
    """Return a text from a run on one line, without what a terminal would take for a command."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in text)


def paragraphs(text: str, indent: int = 0) -> str:
    """Return a text from a run with its line breaks, and without what a terminal would take for a command.

    ``indent``: spaces before each line but the first.
    """
    return f"\n{' ' * indent}".join(map(plain, re.split(r"\r\n?|\n", text)))


def _text(value: Any) -> str:
    if value is None or value == []:
        return "-"
    return plain(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def is_interruption(error: Mapping[str, Any] | None) -> bool:
    """Tell whether what closed an attempt is the end of its process."""
    return error is not None and error.get("code") == "interrupted"


def node_label(event: Mapping[str, Any]) -> str:
    """Return where an event happened, as people read it: ``draft#2``, ``digest[3]``, ``undo reserve``."""
    turn = f"#{event['iteration']}" if event.get("iteration") is not None else ""
    item = f"[{event['index']}]" if event.get("index") is not None else ""
    undo = "undo " if event.get("phase") == "compensation" else ""
    return f"{undo}{event.get('node', '')}{turn}{item}"


def format_size(size: int) -> str:
    """Return bytes as people write them: ``512 bytes``, ``1.5 MiB``."""
    value, unit = float(size), 0
    while value >= 1024 and unit + 1 < len(_UNITS):
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit else f"{size} bytes"
