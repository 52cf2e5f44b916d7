"""What a person is asked at a terminal: field by field, and the shape of what must be written as JSON."""

from __future__ import annotations

import pytest

from infraweave import Workflow
from infraweave.cli.schema_text import describe_schema

LARGE = 9007199254740993
CLAIM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "Who claims.\nIn full."},
        "kind": {"enum": ["travel", "meal", 3]},
        "amount": {"type": ["number", "null"]},
        "account": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        "urgent": {"type": "boolean"},
        "address": {"anyOf": [{"$ref": "#/$defs/Address"}, {"type": "null"}], "default": None},
        "home": {"$ref": "#/$defs/Address"},
        "lines": {"type": "array", "items": {"type": "string"}},
        "stays": {"type": "array", "items": {"$ref": "#/$defs/Address"}, "default": []},
        "extra": {"type": "object", "additionalProperties": {"type": "number"}},
        "version": {"const": 2},
    },
    "required": ["name", "kind", "amount", "home", "version", "lines"],
    "$defs": {
        "Address": {
            "type": "object",
            "properties": {
                "street": {"type": "string"},
                "zip": {"type": "integer"},
                "next": {"$ref": "#/$defs/Address"},
            },
            "required": ["street"],
        }
    },
}
PROMPT = "What is claimed?\n\n  1. travel\x1b[2J\n  2. meal"


@pytest.fixture
async def answered(serve, at, infraweave):
    """Answer what a workflow asks of a schema; return what it got and what was shown."""

    async def answer(schema: object, typed: str) -> tuple[object, str]:
        flow = Workflow("flow", version="v1")
        flow.human_input("claim", schema=schema, prompt=PROMPT)
        async with serve(flow) as server:
            at(server)
            run = await server.client.start("flow")
            async for event in run.events():
                if event["type"] == "input_requested":
                    break
            code, _, err = await infraweave("runs", "signal", run.run_id, "claim", typed=typed)
            assert code == 0, err
            return await run.result(), err

    return answer


LEFT = "\n"
#: What is typed for each field of a claim, a line each.
LEAST = ["Ada", "meal", LEFT, LEFT, LEFT, "n", "Main St", LEFT, "n", LEFT, "n", "n"]
MOST = ["Ada", "bus", "3", "1.0", str(LARGE), "y", "y", "Side St", "12x", "12", "n", "Main St", LEFT, "n"]
MOST += ["soup", "bread", LEFT, "y", "y", "Inn", LEFT, "n", "n", "y", "[", '{"tip": 1.5}']


def lines(typed):
    return "".join(each if each == LEFT else f"{each}\n" for each in typed)


async def test_what_need_not_be_there_is_left_out(answered):
    claimed, _ = await answered(CLAIM, lines(LEAST))
    assert claimed == {
        "name": "Ada",
        "kind": "meal",
        "amount": None,
        "home": {"street": "Main St"},
        "lines": [],
        "stays": [],
        "version": 2,
    }


async def test_every_field_is_asked_for_by_itself(answered):
    claimed, shown = await answered(CLAIM, lines(MOST))
    assert claimed == {
        "name": "Ada",
        "kind": 3,
        "amount": 1.0,
        "account": LARGE,
        "urgent": True,
        "address": {"street": "Side St", "zip": 12},
        "home": {"street": "Main St"},
        "lines": ["soup", "bread"],
        "stays": [{"street": "Inn"}],
        "extra": {"tip": 1.5},
        "version": 2,
    }
    assert isinstance(claimed["amount"], float)
    assert "bus is not one of travel, meal, 3" in shown
    assert "12x is not a number" in shown
    assert "extra is JSON with this structure: {…: number}" in shown
    assert "  Who claims.\n  In full.\n" in shown


async def test_a_prompt_keeps_its_lines_and_says_nothing_to_the_terminal(answered):
    _, shown = await answered({"type": "string"}, "travel\n")
    assert "What is claimed?\n\n  1. travel\ufffd[2J\n  2. meal\n" in shown


@pytest.mark.parametrize(
    ("schema", "typed", "answer"),
    [
        ({"type": "string"}, "yes\n", "yes"),
        ({"type": "integer"}, "1.5\nmany\n12345678901234567890123\n7\n", 7),
        ({"type": "boolean"}, "perhaps\nn\n", False),
        ({"enum": ["a", "b"]}, "c\nb\n", "b"),
        ({"type": "array", "items": {"type": "integer"}}, "1\n2\n\n", [1, 2]),
        ({"type": "object", "properties": {}}, '{"a": 1}\n', {"a": 1}),
        ({"type": "object", "properties": {"a": {"type": "string", "default": "x"}}}, "\n", {"a": "x"}),
        ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, '"x"\n', "x"),
    ],
)
async def test_a_payload_of_any_type_is_asked_for(answered, schema, typed, answer):
    assert (await answered(schema, typed))[0] == answer


@pytest.mark.parametrize(
    ("schema", "shape"),
    [
        ({}, "any JSON"),
        (True, "any JSON"),
        ({"type": ["integer", "string", "null"]}, "whole number | text | null"),
        ({"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}]}, "[text, number]"),
        ({"type": "object", "additionalProperties": {"enum": ["a", 1]}}, '{…: "a" | 1}'),
        (
            {"oneOf": [{"const": "x"}, {"type": "array", "items": {"type": "boolean"}}]},
            '"x" | [true | false, …]',
        ),
        ({"$ref": "#"}, "any JSON"),
    ],
)
def test_a_shape_is_told_in_a_line(schema, shape):
    assert describe_schema(schema, schema) == shape


def test_a_shape_within_itself_is_told_to_some_depth():
    node = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    assert describe_schema(node, node) == '{"next"?: {"next"?: {"next"?: {"next"?: …}}}}'


def test_a_shape_is_told_in_so_many_characters_at_most():
    wide = {"type": "object", "properties": {f"field{n}": {"$ref": "#"} for n in range(100)}}
    assert len(describe_schema(wide, wide)) <= 1001
