"""The README is true: its tour prints what it says, its tables name what there is."""

from __future__ import annotations

import re

from infraweave import errors
from infraweave.cli.main import COMMANDS
from tests.stories import tour


def test_every_command_of_the_tour_prints_what_the_readme_says(tmp_path):
    with tour.served(tmp_path) as url:
        printed = tour.outputs(tmp_path, url)
    wanted = [(step.command, tour.same(step.output)) for step in tour.steps(tour.README.read_text())]
    came = [(step.command, tour.same(output)) for step, output in zip(_steps(), printed, strict=True)]
    assert came == wanted


def _steps():
    return list(tour.steps(tour.README.read_text()))


def test_commands_can_be_typed_into_any_shell():
    """zsh takes ?, * and [ outside quotes for names of files that there must be, and no # for a comment."""
    blocks = re.findall(r"```(console|sh)\n(.*?)```", tour.README.read_text(), re.DOTALL)
    typed = [
        line.removeprefix("$ ")
        for kind, block in blocks
        for line in block.splitlines()
        if kind == "sh" or line.startswith("$ ")
    ]
    bare = {line: re.sub(r"""'[^']*'|"(?:\\.|[^"\\])*"|\\.""", "", line) for line in typed}
    assert len(bare) > 20
    assert [line for line, text in bare.items() if re.search(r"[?*\[~^#]|(?<!\S)=", text)] == []


def test_the_readme_names_every_error_code():
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.RequestError)]
    codes = {c.code for c in classes if c is not errors.RequestError}
    assert {code for code in codes if f"`{code}`" not in tour.README.read_text()} == set()


def test_the_readme_names_every_command_and_option_of_serve():
    text = tour.README.read_text()
    assert all(f"infraweave {name}" in text for name in COMMANDS)
    from infraweave.cli.serve import command

    options = {option.opts[0] for option in command.params if option.opts[0].startswith("--")}
    assert {option for option in options if not re.search(rf"{option}\b", text)} == set()


def test_the_example_in_the_readme_compiles():
    (source,) = re.findall(r"```python\n(from attrs.*?)```", tour.README.read_text(), re.DOTALL)
    names: dict = {}
    exec(source, names)
    assert [node.name for node in names["flow"].compile().nodes] == ["triage", "automatic", "approval", "pay"]
