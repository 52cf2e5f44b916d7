"""The defaults of a schema, put where a value says nothing."""

from __future__ import annotations

import time

import pytest

from infraweave.core.data.schema_defaults import MAX_BYTES, Defaults

SCHEMA = {
    "type": "object",
    "properties": {
        "who": {"type": "string", "default": "world"},
        "docs": {"type": "array", "default": ["a", "b"]},
        "to": {"$ref": "#/$defs/To"},
        "or": {"anyOf": [{"$ref": "#/$defs/To"}, {"type": "null"}]},
        "rows": {"type": "array", "items": {"allOf": [{"$ref": "#/$defs/To"}]}},
        "named": {"type": "object", "additionalProperties": {"$ref": "#/$defs/To"}},
        "pair": {"prefixItems": [{"type": "integer"}, {"$ref": "#/$defs/To"}]},
    },
    "$defs": {
        "To": {"type": "object", "properties": {"land": {"default": "NL"}, "to": {"$ref": "#/$defs/To"}}}
    },
}
BEGUN = {"who": "world", "docs": ["a", "b"]}


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        ({}, {}),
        ({"who": "Ann", "docs": None}, {"who": "Ann", "docs": None}),
        ({"to": {}}, {"to": {"land": "NL"}}),
        ({"to": {"to": {"land": "BE"}}}, {"to": {"land": "NL", "to": {"land": "BE"}}}),
        ({"or": {}}, {"or": {"land": "NL"}}),
        ({"or": None}, {"or": None}),
        ({"rows": [{}, 1]}, {"rows": [{"land": "NL"}, 1]}),
        ({"named": {"x": {}}}, {"named": {"x": {"land": "NL"}}}),
        ({"pair": [1, {}, {}]}, {"pair": [1, {"land": "NL"}, {}]}),
        ({"more": {}}, {"more": {}}),
    ],
)
def test_what_a_value_lacks_has_its_default(value, filled):
    before = repr(value)
    assert Defaults(SCHEMA).filled(value) == {**BEGUN, **filled}
    assert repr(value) == before


def test_two_values_share_no_default():
    defaults = Defaults(SCHEMA)
    defaults.filled({})["docs"].append("c")
    assert defaults.filled({})["docs"] == ["a", "b"]


@pytest.mark.parametrize("schema", [True, {}, {"type": "object"}, {"$ref": "#"}, {"allOf": [{"$ref": "#"}]}])
def test_a_value_without_defaults_is_the_same(schema):
    assert Defaults(schema).filled({"a": [1]}) == {"a": [1]}


def test_defaults_cannot_make_a_value_grow_without_bound():
    field = {"properties": {"text": {"default": "x" * 10_000}}}
    with pytest.raises(ValueError, match=f"more than {MAX_BYTES:,} bytes of defaults"):
        Defaults({"items": field}).filled([{}] * 1_000_000)


def test_a_subschema_that_leads_to_itself_adds_nothing():
    schema = {"properties": {"a": {"default": 1}}, "allOf": [{"$ref": "#"}, {"$ref": "#"}]}
    assert Defaults(schema).filled({"b": 2}) == {"a": 1, "b": 2}


def test_what_takes_too_long_to_fill_is_refused():
    began = time.process_time()
    doubling = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
    schema = {"$ref": "#/$defs/d0", "$defs": {**doubling, "d40": {"properties": {"a": {"default": 1}}}}}
    with pytest.raises(ValueError, match="too large"):
        Defaults(schema).filled({})
    assert time.process_time() - began < 20
