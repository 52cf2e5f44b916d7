"""Workflow files, loaded: what fails names the file, the line and the reason."""

from __future__ import annotations

import pytest

from infraweave.authoring.loader import LoadError, load

GOOD = """
from infraweave import Workflow
flow = Workflow("{name}", version="{version}")

@flow.node
def act() -> int:
    return {value}
"""


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def faults(*paths) -> str:
    with pytest.raises(LoadError) as caught:
        load(paths)
    return caught.value.message


def test_a_folder_gives_the_workflows_of_its_files(tmp_path):
    write(tmp_path, "one.py", GOOD.format(name="one", version="v1", value=1))
    write(tmp_path, "two.py", GOOD.format(name="two", version="v1", value=2))
    write(tmp_path, "_helper.py", "raise ValueError")
    assert [flow.workflow_id for flow in load([tmp_path])] == ["one", "two"]


def test_a_file_may_import_its_neighbour(tmp_path):
    write(tmp_path, "neighbour_of_mine.py", "NAME = 'imported'")
    path = write(
        tmp_path,
        "flow.py",
        "from neighbour_of_mine import NAME\nfrom infraweave import Workflow\n"
        "flow = Workflow(NAME, version='v1')\nflow.sleep('nap', 1)\n",
    )
    assert load([path])[0].workflow_id == "imported"


def test_every_fault_of_every_file_is_told_with_its_line(tmp_path):
    syntax = write(tmp_path, "syntax.py", "x = 1\ndef f(:\n")
    broken = write(tmp_path, "broken.py", "x = 1\n\nraise RuntimeError('no luck')\n")
    wrong = write(
        tmp_path, "wrong.py", GOOD.format(name="w", version="v1", value=1).replace("act()", "act(x)")
    )
    told = faults(tmp_path).splitlines()
    assert told == [
        f"{broken}:3: RuntimeError: no luck",
        f"{syntax}:2: invalid syntax",
        f"{wrong}:5: workflow w: act: parameter x names no node; there are input",
    ]


def test_a_named_file_without_workflows_is_a_mistake(tmp_path):
    empty = write(tmp_path, "empty.py", "x = 1\n")
    assert faults(empty) == f"{empty}: declares no Workflow at its top level"
    assert "no such file" in faults(tmp_path / "nothing.py")


def test_one_version_cannot_have_two_contents(tmp_path):
    write(tmp_path, "a.py", GOOD.format(name="same", version="v1", value=1))
    write(tmp_path, "b.py", GOOD.format(name="same", version="v1", value=1).replace("act", "other"))
    assert "same v1 is declared with another content in" in faults(tmp_path)
