"""Workflow files, loaded: what fails names the file, the line and the reason."""

from __future__ import annotations

import sys

import pytest

from infraweave.authoring.loader import LoadError, load, survey

GOOD = """
from infraweave import Workflow
flow = Workflow("{name}", version="{version}")

@flow.node
def {node}(): ...
"""


@pytest.fixture(autouse=True)
def _same_import_path(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def good(name="one", version="v1", node="act"):
    return GOOD.format(name=name, version=version, node=node)


def faults(*paths) -> list[str]:
    with pytest.raises(LoadError) as caught:
        load(paths)
    return caught.value.message.splitlines()


def test_a_folder_gives_the_workflows_of_its_files_in_their_order(tmp_path):
    write(tmp_path, "two.py", good("two"))
    write(tmp_path, "one.py", good("one"))

    assert [flow.workflow_id for flow in load([tmp_path])] == ["one", "two"]


def test_what_begins_with_an_underscore_or_is_no_python_file_is_left_alone(tmp_path):
    write(tmp_path, "one.py", good())
    write(tmp_path, "_helper.py", "raise ValueError")
    write(tmp_path, ".hidden.py", "raise ValueError")
    write(tmp_path, "notes.txt", "not python")
    (tmp_path / "folder.py").mkdir()

    assert len(load([tmp_path])) == 1


def test_a_file_that_is_named_is_loaded_whatever_its_name(tmp_path):
    assert len(load([write(tmp_path, "_my flow.v2.py", good())])) == 1


def test_a_file_may_import_its_neighbour(tmp_path):
    write(tmp_path, "neighbour_of_mine.py", "NAME = 'imported'")
    path = write(
        tmp_path,
        "flow.py",
        "from neighbour_of_mine import NAME\nfrom infraweave import Workflow\n"
        "flow = Workflow(NAME, version='v1')\nflow.sleep('nap', 1)\n",
    )

    assert load([path])[0].workflow_id == "imported"


def test_files_of_one_name_in_two_folders_are_two_modules(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "flow.py", good(name))

    assert [flow.workflow_id for flow in load([tmp_path / "a", tmp_path / "b"])] == ["a", "b"]


def test_a_neighbour_of_another_folder_is_not_taken_for_ones_own(tmp_path):
    flow = "from a_neighbour import NAME\nfrom infraweave import Workflow\nflow = Workflow(NAME)\n"
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "a_neighbour.py", f"NAME = '{name}'")
        write(tmp_path / name, "flow.py", flow + "flow.sleep('nap', 1)\n")

    assert faults(tmp_path / "a" / "flow.py", tmp_path / "b" / "flow.py") == [
        f"{tmp_path}/b/flow.py:1: it imports a_neighbour from {tmp_path}/a, not from its folder; rename one"
    ]


def test_every_fault_of_every_file_is_told_with_its_line(tmp_path):
    syntax = write(tmp_path, "syntax.py", "x = 1\ndef f(:\n")
    broken = write(tmp_path, "broken.py", "x = 1\n\nraise RuntimeError('no\\nluck')\n")
    lacking = write(tmp_path, "lacking.py", "x = 1\nimport nothing_of_this_name\n")
    leaving = write(tmp_path, "leaving.py", "import sys\nsys.exit(3)\n")
    wrong = write(tmp_path, "wrong.py", good("w").replace("act()", "act(x, y)"))

    assert faults(tmp_path) == [
        f"{broken}:3: RuntimeError: no luck",
        f"{lacking}:2: ModuleNotFoundError: No module named 'nothing_of_this_name'",
        f"{leaving}:2: SystemExit: 3",
        f"{syntax}:2: invalid syntax",
        f"{wrong}:5: workflow w: act: parameter x names no node; there are input",
        f"{wrong}:5: workflow w: act: parameter y names no node; there are input",
    ]


def test_a_mistake_in_a_neighbour_is_told_where_it_stands(tmp_path):
    neighbour = write(tmp_path, "_wrong_neighbour.py", "x = (\n")
    path = write(tmp_path, "flow.py", "\nimport _wrong_neighbour\n")

    assert faults(path) == [f"{path}:2: {neighbour}:1: '(' was never closed"]


def test_the_line_is_the_authors_own_also_where_another_function_wraps_it(tmp_path):
    write(
        tmp_path,
        "_wrapping.py",
        "from functools import wraps\n\ndef wrapped(f):\n    return wraps(f)(lambda **kw: f(**kw))\n",
    )
    text = "from _wrapping import wrapped" + good("w").replace("def act()", "@wrapped\ndef act(x)")
    path = write(tmp_path, "flow.py", text)

    assert faults(path) == [f"{path}:5: workflow w: act: parameter x names no node; there are input"]


@pytest.mark.parametrize("text", ["x = 1\x00", "x = '\ud800'", "", "x = 1\n"])
def test_what_cannot_be_a_workflow_file_is_told_in_one_line(tmp_path, text):
    path = tmp_path / "odd.py"
    path.write_bytes(text.encode(errors="surrogatepass"))
    [fault] = faults(path)

    assert fault.startswith(f"{path}")
    assert "None" not in fault


def test_a_named_file_or_folder_without_workflows_is_a_mistake(tmp_path):
    empty = write(tmp_path, "empty.py", "x = 1\n")
    (tmp_path / "bare").mkdir()

    assert faults(empty) == [f"{empty}: declares no Workflow at its top level"]
    assert faults(tmp_path) == [f"{tmp_path}: none of its files declares a Workflow"]
    assert faults(tmp_path / "bare") == [f"{tmp_path / 'bare'}: no workflow files"]
    assert faults(tmp_path / "gone") == [f"{tmp_path / 'gone'}: no such file or folder"]
    assert faults(write(tmp_path, "x.txt", "")) == [
        f"{tmp_path / 'x.txt'}: not a Python file; its name must end in .py, or in .json for a document"
    ]


def test_a_file_named_twice_is_no_mistake(tmp_path):
    path = write(tmp_path, "one.py", good())

    assert len(load([path, tmp_path, path])) == 1


def test_one_version_cannot_have_two_contents(tmp_path):
    first = write(tmp_path, "a.py", good("same", node="act"))
    second = write(tmp_path, "b.py", good("same", node="other"))

    assert faults(tmp_path) == [
        f"{second}: workflow same: version v1 has different content in {first} (node act is gone)"
    ]


def test_another_order_of_declarations_is_the_same_content(tmp_path):
    naps = ["flow.sleep('a', 1)\n", "flow.sleep('b', 1)\n"]
    head = "from infraweave import Workflow\nflow = Workflow('same')\n"
    write(tmp_path, "a.py", head + "".join(naps))
    write(tmp_path, "b.py", head + "".join(reversed(naps)))

    assert len(load([tmp_path])) == 1


def test_a_survey_gives_what_is_right_beside_what_is_wrong(tmp_path):
    right = write(tmp_path, "right.py", good("right"))
    write(tmp_path, "wrong.py", "1 / 0\n")
    found, told = survey([tmp_path])

    assert [(item.file, item.workflow.workflow_id) for item in found] == [(right, "right")]
    assert told == [f"{tmp_path / 'wrong.py'}:1: ZeroDivisionError: division by zero"]


def test_a_file_that_failed_can_be_loaded_once_it_is_mended(tmp_path):
    path = write(tmp_path, "flow.py", "1 / 0\n")
    assert faults(path)
    path.write_text(good("mended"))

    assert load([path])[0].workflow_id == "mended"
