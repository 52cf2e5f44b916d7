"""Graphs as text: a shape for each kind, a line for what each edge carries."""

from __future__ import annotations

import re

import pytest

from infraweave import Workflow
from infraweave.authoring.graph_text import dot, mermaid
from infraweave.core.workflow.document import Activity, Document


def drawn() -> Document:
    flow = Workflow("drawn", version="v1")

    @flow.node(kind="agent")
    def first(input: dict) -> int: ...

    @flow.router(routes=["ask", "call"])
    def choose(first: int) -> str: ...

    flow.human_input("ask", prompt="Go?", schema=bool)

    @flow.node(kind="tool")
    def call(first: int, choose: str) -> int: ...

    flow.sleep("nap", 1, after=[call])

    @flow.node(kind="llm")
    def tell(call: int | None = None, ask: bool | None = None) -> None: ...

    @flow.node(after=["nap", tell])
    def last() -> None: ...

    return flow.compile()


def test_mermaid():
    assert mermaid(drawn()).splitlines() == [
        "flowchart TD",
        '  n0(["first (agent)"])',
        '  n1{"choose (router)"}',
        '  n2[/"ask (human input)"/]',
        '  n3[["call (tool)"]]',
        '  n4(("nap (timer)"))',
        '  n5("tell (llm)")',
        '  n6["last"]',
        "  n0 --> n1",
        "  n1 -. route .-> n2",
        "  n1 -. route .-> n3",
        "  n0 --> n3",
        "  n1 --> n3",
        "  n3 -.-> n4",
        "  n3 --> n5",
        "  n2 --> n5",
        "  n4 -.-> n6",
        "  n5 -.-> n6",
    ]


def test_dot():
    assert dot(drawn()).splitlines() == [
        'digraph "drawn" {',
        '  "first" [shape=ellipse, label="first (agent)"];',
        '  "choose" [shape=diamond, label="choose (router)"];',
        '  "ask" [shape=parallelogram, label="ask (human input)"];',
        '  "call" [shape=component, label="call (tool)"];',
        '  "nap" [shape=circle, label="nap (timer)"];',
        '  "tell" [shape=note, label="tell (llm)"];',
        '  "last" [shape=box, label="last"];',
        '  "first" -> "choose";',
        '  "choose" -> "ask" [style=dashed, label=route];',
        '  "choose" -> "call" [style=dashed, label=route];',
        '  "first" -> "call";',
        '  "choose" -> "call";',
        '  "call" -> "nap" [style=dotted];',
        '  "call" -> "tell";',
        '  "ask" -> "tell";',
        '  "nap" -> "last" [style=dotted];',
        '  "tell" -> "last" [style=dotted];',
        "}",
    ]


@pytest.mark.parametrize("name", ["end", "graph", "subgraph", "default", "class", "style", "click"])
def test_words_of_the_drawing_languages_are_names_like_any_other(name):
    document = Document(workflow_id="w", version="v", nodes=(Activity(name=name, code="c"),))

    assert f'n0["{name}"]' in mermaid(document)
    assert f'"{name}" [shape=box, label="{name}"];' in dot(document)


def test_names_are_escaped():
    document = Document(workflow_id='w"', version="v", nodes=(Activity(name='a"#<b>\\\n', code="c"),))

    assert mermaid(document).splitlines()[1] == '  n0["a#quot;#35;#lt;b#gt;\\ "]'
    assert dot(document).splitlines() == [
        r'digraph "w\"" {',
        r'  "a\"#<b>\\ " [shape=box, label="a\"#<b>\\ "];',
        "}",
    ]


def test_each_edge_is_drawn_once():
    flow = Workflow("twice", version="v1")
    nap = flow.sleep("nap", 1)
    flow.sleep("end", 1, after=[nap, "nap"])

    assert len(re.findall("n0 ", mermaid(flow.compile()))) == 1
