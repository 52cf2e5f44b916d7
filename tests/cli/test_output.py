"""What a terminal of another age, or text from a run that is none, does to the output: nothing."""

from __future__ import annotations

import io
import json
import sys

import pytest

from infraweave.cli.output import escape_unencodable_output, plain, show_json, show_line, show_table

WORDS = "Zürich → ☕"


def written(monkeypatch, show, *arguments) -> bytes:
    """What is written to a stdout that knows only the letters of Western Europe."""
    file = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(file, encoding="latin-1", write_through=True))
    escape_unencodable_output()
    show(*arguments)
    return file.getvalue()


@pytest.mark.parametrize("show", [show_json, show_line])
def test_json_is_whole_whatever_stdout_can_write(monkeypatch, show):
    assert json.loads(written(monkeypatch, show, [WORDS])) == [WORDS]


def test_a_table_shows_escapes_for_what_stdout_cannot_write(monkeypatch):
    table = written(monkeypatch, show_table, ("words",), [{"words": WORDS}])
    assert table.splitlines()[1] == b"Z\xfcrich \\u2192 \\u2615"


def test_json_for_people_is_not_escaped(capsys):
    show_json(WORDS)
    assert capsys.readouterr().out == f'"{WORDS}"\n'


@pytest.mark.parametrize(
    ("text", "shown"),
    [("two\nlines\tapart", "two lines apart"), ("\x1b[2J\x07", "�[2J�"), (WORDS, WORDS), ("a\u202eb", "a�b")],
)
def test_text_from_a_run_is_one_line_and_no_command(text, shown):
    assert plain(text) == shown
