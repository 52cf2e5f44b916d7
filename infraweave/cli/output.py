"""Output: tables or one JSON document on stdout, messages on stderr."""

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

#: Exit codes.
FAILED, USAGE, UNREACHABLE, DENIED = 1, 2, 3, 4
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
#: The colours of run states and node states.
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
    """Write an error line to stderr and exit."""
    click.echo(f"infraweave: {message}", err=True)
    sys.exit(code)


def echo_err(message: str) -> None:
    """Write a line to stderr."""
    click.echo(message, err=True)


def echo_error(error: str, faults: Sequence[tuple[str, str]]) -> None:
    """Write an error to stderr, followed by its faults: ``(path, message)`` pairs.

    A single fault is left out if the error already names its path.
    """
    echo_err(f"infraweave: {error}")
    if len(faults) == 1 and faults[0][0].strip("/") in error:
        return
    for path, message in faults:
        echo_err(f"  {path or '/'}: {message}")


def show_json(value: Any) -> None:
    """Write one JSON document to stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=not _is_unicode()))


def show_line(value: Any) -> None:
    """Write one JSON document to stdout, on one line."""
    click.echo(json.dumps(value, ensure_ascii=not _is_unicode(), separators=(",", ":")))


def _is_unicode() -> bool:
    """Tell whether the encoding of stdout has every character."""
    return codecs.lookup(sys.stdout.encoding or "ascii").name.startswith("utf")


def escape_unencodable_output() -> None:
    """Write characters that the encoding of stdout or stderr lacks as escape sequences."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def show_table(
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    colours: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Write a table to stdout; empty cells show a dash.

    ``colours``: by column, the colour of each cell text.
    """
    texts = [[_text(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in [list(columns), *texts]) for i in range(len(columns))]
    palette = [(colours or {}).get(column, {}) for column in columns]
    click.echo(_style("  ".join(_padded([c.upper() for c in columns], widths)).rstrip()))
    for line in texts:
        cells = zip(line, _padded(line, widths), palette, strict=True)
        painted = (paint(cell, hues[text]) if text in hues else cell for text, cell, hues in cells)
        click.echo("  ".join(painted).rstrip())


def _padded(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]


def _style(text: str) -> str:
    return click.style(text, bold=True) if _uses_colour() else text


def paint(text: str, colour: str) -> str:
    """Return a text in a colour if stdout is a terminal and NO_COLOR is not set."""
    return click.style(text, fg=colour) if _uses_colour() else text


def paint_state(state: str) -> str:
    """Return a run or node state in its colour."""
    return paint(state, STATES[state]) if state in STATES else state


def _uses_colour() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def echo_indented(text: str, indent: int) -> None:
    """Write a text of several lines to stderr, indented."""
    for line in text.split("\n"):
        echo_err((" " * indent + plain(line)).rstrip())


def plain(text: str) -> str:
    """Return an untrusted text on one line, without control characters for the terminal."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in text)


def paragraphs(text: str, indent: int = 0) -> str:
    """Return an untrusted text with its line breaks, without control characters for the terminal.

    ``indent``: spaces before each line except the first.
    """
    return f"\n{' ' * indent}".join(map(plain, re.split(r"\r\n?|\n", text)))


def _text(value: Any) -> str:
    if value is None or value == []:
        return "-"
    return plain(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def is_interruption(error: Mapping[str, Any] | None) -> bool:
    """Tell whether an attempt ended because its process ended."""
    return error is not None and error.get("code") == "interrupted"


def node_label(event: Mapping[str, Any]) -> str:
    """Return a label for the node of an event: ``draft#2``, ``digest[3]``, ``undo reserve``."""
    turn = f"#{event['iteration']}" if event.get("iteration") is not None else ""
    item = f"[{event['index']}]" if event.get("index") is not None else ""
    undo = "undo " if event.get("phase") == "compensation" else ""
    return f"{undo}{event.get('node', '')}{turn}{item}"


def format_size(size: int) -> str:
    """Return a size in bytes as text: ``512 bytes``, ``1.5 MiB``."""
    value, unit = float(size), 0
    while value >= 1024 and unit + 1 < len(_UNITS):
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit else f"{size} bytes"
