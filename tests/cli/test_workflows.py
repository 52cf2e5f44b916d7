"""``infraweave workflows``: what is wrong with declarations, all at once; and their graphs."""

from __future__ import annotations

import json
import sys

import pytest

from infraweave.authoring.loader import load
from infraweave.cli.main import main
from infraweave.core.workflow.document_codec import document_from_json
from tests.conftest import EXAMPLES

RIGHT = """
from infraweave import Workflow
flow_{n} = Workflow("{name}", version="{version}")
flow_{n}.sleep("nap", 1)
"""
WRONG = """
from infraweave import Retry, Workflow
flow = Workflow("wrong", version="v1")

@flow.node(retry=Retry(max_attempts=0))
def one(inptu: int) -> None: ...

@flow.node(after=["oen"])
def second() -> None: ...
"""


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Call the command line in an empty folder; give its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["infraweave", "workflows", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as left:
            code = left.code
        return code, *capsys.readouterr()

    return call


def right(name="one", version="v1", n=1):
    return RIGHT.format(name=name, version=version, n=n)


# --- check -------------------------------------------------------------------------------------------------


def test_what_was_found_is_told_as_a_table(run, tmp_path):
    (tmp_path / "one.py").write_text(right("one", "v1.0"))
    (tmp_path / "other.py").write_text(right("longer-name", "v1"))

    code, out, err = run("check", ".")

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "WORKFLOW_ID  VERSION  NODES  FILE",
        "one          v1.0     1      one.py",
        "longer-name  v1       1      other.py",
    ]


def test_what_was_found_is_told_as_json(run, tmp_path):
    (tmp_path / "one.py").write_text(right("one", "v1"))
    code, out, err = run("check", "one.py", "--json")

    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "workflows": [{"workflow_id": "one", "version": "v1", "nodes": 1, "file": "one.py"}],
        "faults": [],
    }


FAULTS = """\
gone.py: no such file or folder
wrong.py:5: workflow wrong: one: retry.max_attempts is 0; expected 1 or more
wrong.py:5: workflow wrong: one: parameter inptu names no node; there are input, second (did you mean input?)
wrong.py:8: workflow wrong: second: after names 'oen', which is not a node (did you mean one?)
broken.py:2: ZeroDivisionError: division by zero
""".splitlines()


def test_all_mistakes_of_all_files_are_told_one_a_line(run, tmp_path):
    (tmp_path / "wrong.py").write_text(WRONG)
    (tmp_path / "right.py").write_text(right("right", "v1"))
    (tmp_path / "broken.py").write_text("\n1 / 0\n")
    code, out, err = run("check", "gone.py", "wrong.py", "right.py", "broken.py")

    assert (code, err) == (1, "infraweave: 5 mistakes\n")
    assert out.splitlines() == FAULTS


def test_all_mistakes_of_all_files_are_told_as_json(run, tmp_path):
    (tmp_path / "wrong.py").write_text(WRONG)
    (tmp_path / "right.py").write_text(right("right", "v1"))
    (tmp_path / "broken.py").write_text("\n1 / 0\n")
    code, out, err = run("check", "--json", "gone.py", "wrong.py", "right.py", "broken.py")

    assert (code, err) == (1, "")
    told = json.loads(out)
    assert told["faults"] == FAULTS
    assert [row["workflow_id"] for row in told["workflows"]] == ["right"]


def test_what_a_file_prints_does_not_spoil_the_result(run, tmp_path):
    (tmp_path / "one.py").write_text(right() + "print('hello')\n")
    code, out, err = run("check", "--json", "one.py")

    assert (code, err) == (0, "hello\n")
    assert json.loads(out)["faults"] == []


def test_without_names_the_folder_workflows_is_checked(run, tmp_path):
    assert run("check") == (
        1,
        "",
        "infraweave: There is no folder workflows/ here; give workflow files or folders.\n",
    )
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows" / "one.py").write_text(right("one", "v1"))
    assert run("check")[0] == 0


def test_the_examples_have_no_mistakes(run):
    code, out, _ = run("check", EXAMPLES)

    assert code == 0
    assert len(out.splitlines()) == 1 + len(load([EXAMPLES]))


# --- graph -------------------------------------------------------------------------------------------------


def test_a_graph_is_drawn_for_mermaid_unless_told_otherwise(run, tmp_path):
    (tmp_path / "one.py").write_text(right("one", "v1"))

    assert run("graph", "one.py") == (0, 'flowchart TD\n  n0(("nap (timer)"))\n', "")
    assert run("graph", "one.py", "--format", "mermaid") == run("graph", "one.py")


def test_a_graph_is_drawn_for_graphviz(run, tmp_path):
    (tmp_path / "one.py").write_text(right("one", "v1"))

    assert run("graph", "one.py", "--format", "dot") == (
        0,
        'digraph "one" {\n  "nap" [shape=circle, label="nap (timer)"];\n}\n',
        "",
    )


@pytest.mark.parametrize("flow", load([EXAMPLES]), ids=lambda flow: flow.workflow_id)
def test_json_is_the_definition_document(run, flow):
    file = next(file for file in EXAMPLES.glob("*.py") if f'("{flow.workflow_id}"' in file.read_text())
    code, out, _ = run("graph", file, "--workflow", flow.workflow_id, "--format", "json")

    assert code == 0
    assert document_from_json(json.loads(out)).nodes


def test_one_of_several_workflows_is_chosen(run, tmp_path):
    (tmp_path / "two.py").write_text(right("a") + right("b", n=2))
    code, out, err = run("graph", "two.py")

    assert (code, out) == (2, "")
    assert err == "infraweave: two.py has several workflows; choose one of a, b with --workflow\n"
    assert run("graph", "two.py", "--workflow", "b", "--format", "json")[0] == 0
    assert run("graph", "two.py", "--workflow", "c") == (
        2,
        "",
        "infraweave: There is no workflow c in two.py; choose one of a, b with --workflow\n",
    )


def test_one_of_several_versions_is_chosen(run, tmp_path):
    (tmp_path / "two.py").write_text(right("w", "v1") + right("w", "v2", n=2))

    assert "choose one of w@v1, w@v2" in run("graph", "two.py", "--workflow", "w")[2]
    out = run("graph", "two.py", "--workflow", "w@v2", "--format", "json")[1]
    assert json.loads(out)["version"] == "v2"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["graph", "gone.py"], 1, "infraweave: gone.py: no such file or folder\n"),
        (["graph", "wrong.py"], 1, "infraweave: wrong.py:5: workflow wrong: one: retry.max_attempts is 0"),
        (["graph"], 2, "Missing argument 'FILE'"),
        (["graph", "one.py", "--format", "png"], 2, "'png' is not one of 'mermaid', 'json', 'dot'"),
        (["chekc"], 2, "No such command 'chekc'"),
    ],
)
def test_a_mistake_gets_words_and_no_traceback(run, tmp_path, arguments, code, said):
    (tmp_path / "wrong.py").write_text(WRONG)
    left, out, err = run(*arguments)

    assert (left, out) == (code, "")
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [[], ["check"], ["graph"]])
def test_help_has_an_example(run, arguments):
    code, out, err = run(*arguments, "--help")

    assert (code, err) == (0, "")
    assert "Example: infraweave workflows" in out


# --- documents ---------------------------------------------------------------------------------------------

NAP = {"workflow_id": "nap", "nodes": [{"name": "nap", "kind": "timer", "delay": 0}]}


def test_a_document_is_checked_and_drawn_like_a_declaration(run, tmp_path):
    written = {"$schema": "workflow.schema.json", **NAP}
    (tmp_path / "nap.json").write_text("\ufeff" + json.dumps(written), encoding="utf-8")
    code, out, err = run("check", "nap.json")
    assert (code, err) == (0, "")
    assert out.splitlines()[1].startswith("nap          v-")
    code, out, err = run("graph", "nap.json", "--format", "json")
    assert (code, err) == (0, "")
    assert json.loads(out)["nodes"] == NAP["nodes"]


def test_what_is_wrong_with_documents_is_told_at_its_place(run, tmp_path):
    (tmp_path / "unknown.json").write_text(json.dumps({**NAP, "nodes": [{"kind": "timer", "nmae": 1}]}))
    (tmp_path / "unfit.json").write_text(json.dumps({**NAP, "output": "x"}))
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "half.json").write_text("{")
    files = ("unknown.json", "unfit.json", "list.json", "half.json", "none.json", "pyproject.toml")
    code, out, _ = run("check", *files)
    assert code == 1
    assert out.splitlines() == [
        "unknown.json: workflow nap: /nodes/0/nmae: unknown field nmae; the nearest known one is name",
        "unknown.json: workflow nap: /nodes/0/name: is missing",
        "unfit.json: workflow nap: output 'x' is not a node",
        "list.json: a definition document must be a JSON object",
        "half.json: unexpected end of data: line 1 column 2 (char 1)",
        "none.json: no such file or folder",
        "pyproject.toml: no such file or folder",
    ]


def test_a_folder_is_looked_through_for_declarations_alone(run, tmp_path):
    (tmp_path / "nap.json").write_text(json.dumps(NAP))
    (tmp_path / "one.py").write_text(right("one", "v1"))
    assert [
        workflow["workflow_id"] for workflow in json.loads(run("check", ".", "--json")[1])["workflows"]
    ] == ["one"]
