"""What a schema refuses, how it says so, and which schemas are refused themselves."""

import random
import time

import pytest

from infraweave.core.data.json_schema import LONG, MAX_FAULTS, QUICK, Validator, schema_faults, validator
from infraweave.core.data.pattern_cost import pattern_weight
from infraweave.errors import Fault

ORDER = {
    "type": "object",
    "properties": {
        "order_id": {"type": "string"},
        "total": {"type": "integer", "minimum": 1},
        "placed": {"type": "string", "format": "date-time"},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
    },
    "required": ["order_id", "total"],
    "additionalProperties": False,
    "$defs": {"Line": {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]}},
}

#: Sixty levels of two alternatives each: more checks than there are atoms in a cup of tea.
DOUBLING = {
    "$ref": "#/$defs/d0",
    "$defs": {
        **{f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(60)},
        "d60": {"type": "string"},
    },
}


def faults(schema, value):
    return [(fault.path, fault.message) for fault in Validator(schema).faults(value)]


def nested(levels, leaf):
    for _ in range(levels):
        leaf = {"a": leaf}
    return leaf


def test_a_value_that_fits_has_no_faults():
    value = {"order_id": "o1", "total": 3, "placed": "2026-07-04T18:22:31Z", "lines": [{"sku": "x"}]}

    assert Validator(ORDER).faults(value) == []


def test_each_wrong_field_is_one_fault_at_its_own_pointer():
    value = {"total": "3", "placed": "yesterday", "lines": [{"sku": 1}, {}], "a/b": 1}

    assert {
        ("/order_id", "is required"),
        ("/total", "must be an integer"),
        ("/placed", "must be a valid date-time"),
        ("/lines/0/sku", "must be a string"),
        ("/lines/1/sku", "is required"),
        ("/a~1b", "is not allowed; known are lines, order_id, placed, total"),
    } == set(faults(ORDER, value))


def test_an_unknown_key_is_told_with_the_nearest_known_one():
    line = {"type": "object", "properties": {"sku": {}, "quantity": {}}, "additionalProperties": False}
    card = {**line, "properties": {"number": {}, "holder": {}}, "required": ["number"]}
    schema = {
        "properties": {"line": {"$ref": "#/$defs/Line"}, "by": {"anyOf": [{"$ref": "#/$defs/Line"}, card]}},
        "additionalProperties": False,
        "$defs": {"Line": {**line, "required": ["sku"]}},
    }

    assert faults(
        schema, {"lines": [], "line": {"sku": 1, "quantty": 1}, "by": {"number": 1, "holdr": 2}}
    ) == [
        ("/line/quantty", "is not allowed; did you mean quantity?"),
        ("/by/holdr", "is not allowed; did you mean holder?"),
        ("/lines", "is not allowed; did you mean line?"),
    ]
    assert faults({"properties": {}, "additionalProperties": False}, {"a": 1}) == [("/a", "is not allowed")]


def test_hints_for_very_many_unknown_keys_take_no_time():
    known = {f"{'ab' * 30}{n:03}": {} for n in range(500)}
    check = Validator({"properties": known, "additionalProperties": False})
    value = {f"{'ba' * 30}{n:03}": 1 for n in range(1_000)}
    began = time.process_time()

    assert len(check.faults(value)) == 50
    assert time.process_time() - began < 5


def test_the_whole_value_has_the_empty_pointer():
    assert [Fault("", "type", "must be an object")] == Validator(ORDER).faults("order")


def test_a_field_that_breaks_two_rules_is_told_once():
    schema = {"properties": {"a": {"minLength": 3, "pattern": "^x"}}}

    assert len(faults(schema, {"a": "y"})) == 1


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        ({"const": "yes"}, "no", 'must be "yes"'),
        ({"enum": ["a", None]}, "b", 'must be one of "a", null'),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 3, "must be a string or null"),
        ({"minimum": 3}, 1, "is less than the minimum of 3"),
        ({"not": {"type": "string"}}, "x", "must not fit what `not` describes"),
        ({"contains": {"type": "string"}}, [1], "has no item that `contains` describes"),
        ({"oneOf": [{"type": "integer"}, {"minimum": 2}]}, 3, "fits more than one of the alternatives"),
        ({"properties": {"a": False}}, {"a": 1}, "is not allowed"),
    ],
)
def test_messages_say_what_was_expected(schema, value, message):
    assert [message] == [text for _, text in faults(schema, value)]


def test_of_alternatives_the_one_that_was_meant_explains_the_fault():
    card = {
        "properties": {"by": {"const": "card"}, "number": {"type": "string"}},
        "required": ["by", "number"],
    }
    bank = {"properties": {"by": {"const": "bank"}, "iban": {"type": "string"}}, "required": ["by", "iban"]}

    assert faults({"anyOf": [card, bank]}, {"by": "bank", "number": "1"}) == [("/iban", "is required")]
    assert faults({"anyOf": [card, bank]}, {"by": "cash"}) == [("", "fits none of the 2 alternatives")]


def test_an_optional_object_is_explained_as_the_object():
    line = {"anyOf": [{"$ref": "#/$defs/Line"}, {"type": "null"}]}
    schema = {"properties": {"line": line}, "$defs": ORDER["$defs"]}

    assert faults(schema, {"line": {"sku": 3}}) == [("/line/sku", "must be a string")]
    assert faults(schema, {"line": 3}) == [("/line", "must be an object or null")]


def test_messages_never_repeat_the_value():
    secret = "s3cret" * 1000

    for schema in ({"type": "integer"}, {"enum": ["a"]}, {"pattern": "^x"}, {"maxLength": 3}, {"const": 1}):
        assert "s3cret" not in str(faults(schema, secret))


def test_messages_and_pointers_are_short():
    schema = {"enum": ["x" * 5000, "y" * 5000], "additionalProperties": False}

    assert all(len(message) <= 300 for _, message in faults(schema, "z"))
    assert all(len(path) <= 301 for path, _ in faults({"additionalProperties": False}, {"k" * 5000: 1}))


def test_at_most_fifty_faults_are_told():
    assert len(faults({"items": {"type": "string"}}, [1] * 400)) == MAX_FAULTS


def test_a_huge_wrong_value_is_answered_at_once_with_its_first_fault():
    began = time.process_time()

    assert faults({"items": {"type": "string"}}, [1] * 300_000) == [("/0", "must be a string")]
    assert time.process_time() - began < 2


def test_the_same_schema_gives_the_same_validator():
    assert validator({"type": "object", "title": "x"}) is validator({"title": "x", "type": "object"})


def test_another_draft_can_be_named():
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"n": {"type": "integer"}},
        "items": [{"$ref": "#/definitions/n"}],
    }

    assert schema_faults(schema) == []
    assert faults(schema, ["x"]) == [("/0", "must be an integer")]


def test_an_evil_pattern_answers_fast():
    began = time.process_time()

    assert len(faults({"type": "string", "pattern": "^(a+)+$"}, "a" * 50_000 + "!")) == 1
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "reference", ["file:///etc/passwd", "http://127.0.0.1:1/x", "other.json", "//host/x"]
)
def test_a_reference_that_leaves_the_schema_is_refused_and_never_followed(reference):
    [fault] = schema_faults({"properties": {"a": {"$ref": reference}}})

    assert "leads outside the schema" in fault.message
    with pytest.raises(ValueError, match=r"(?i)outside|base uri"):
        Validator({"$ref": reference})


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ([], "must be a JSON object"),
        ({"default": {1, 2}}, "cannot be written as JSON"),
        ({"type": "strnig"}, "/type must be one of"),
        ({"properties": {"a": {"minimum": "3"}}}, "/properties/a/minimum must be a number"),
        ({"$ref": "#/$defs/nowhere"}, "'#/$defs/nowhere' names nothing"),
        ({"$defs": {"unused": {"$ref": "#/nope"}}}, "'#/nope' names nothing"),
        ({"default": {"type": "string"}, "$ref": "#/default"}, "names nothing"),
        ({"properties": {"a": {"$id": "http://x/y"}}}, "only its root may have one"),
        ({"pattern": "(?=look)ahead"}, "the pattern at /pattern"),
        ({"patternProperties": {"(": {}}}, "the pattern at /patternProperties/("),
        ({"$defs": {"a b/ü": {"pattern": "(a)\\1"}}}, "the pattern at /$defs/a b~1ü/pattern"),
        ({"pattern": "(a{1000}){1000}"}, "too large"),
        ({"description": "x" * 300_000}, "more than 262,144"),
        ({"$schema": "http://example.com/mine"}, "example.com/mine"),
        ({"const": nested(70, 1)}, "deeper than 64"),
        (DOUBLING, "chained too far"),
    ],
)
def test_a_schema_that_cannot_be_published_says_why(schema, words):
    [fault] = schema_faults(schema)

    assert words in fault.message
    assert len(fault.message) <= 300


def test_all_faults_of_a_schema_are_told_at_once_with_their_places():
    schema = {"type": "strnig", "properties": {"a": {"minimum": "3"}, "b": {"pattern": "("}, "c": 5}}
    assert {fault.path for fault in schema_faults(schema)} == {
        "/type",
        "/properties/a/minimum",
        "/properties/b/pattern",
        "/properties/c",
    }


@pytest.mark.parametrize(
    "schema",
    [
        {},
        ORDER,
        {"type": "object", "properties": {"next": {"$ref": "#"}}},
        {"$defs": {"x": {"$anchor": "here", "type": "string"}}, "$ref": "#here"},
        {"properties": {"$ref": {"type": "string"}, "$id": {}, "default": {"type": "string"}}},
    ],
)
def test_an_ordinary_schema_has_no_faults(schema):
    assert schema_faults(schema) == []


def test_alternatives_that_multiply_are_refused_before_the_work_begins():
    twice = {"properties": {"a": {"$ref": "#"}}}
    schema = {"properties": {"b": {"type": "string"}}, "anyOf": [twice, twice]}

    assert schema_faults(schema) == []
    assert faults(schema, nested(5, {"b": "x"})) == []
    assert "nested too deeply" in faults(schema, nested(60, {"b": 1}))[0][1]
    assert "too large" in faults(DOUBLING, 3)[0][1]


def test_plain_recursion_may_be_deep():
    schema = {"properties": {"a": {"$ref": "#"}, "b": {"type": "string"}}}

    assert faults(schema, nested(60, {"b": 1})) == [("/a" * 60 + "/b", "must be a string")]


@pytest.mark.parametrize(
    ("pattern", "atoms"),
    [
        ("", 0),
        ("abc", 3),
        ("^[a-z0-9-]{1,64}$", 66),
        (r"\d{4}-\d{2}", 7),
        ("(ab){3}", 6),
        ("((a{10}){10}b){2,10}", 1010),
        ("a{2,}b*", 3),
        (r"[\]{}]{5}\{9}", 8),
        ("(?:x{3}|(?P<n>y)){2}", 10),
        ("(" * 500 + "a" + "){9}" * 500, 10**9),
    ],
)
def test_the_weight_of_a_pattern_counts_what_is_written_out(pattern, atoms):
    assert abs(pattern_weight(pattern) - atoms) <= 2


def test_a_pattern_that_is_slow_for_each_character_is_not_tried_on_a_long_text():
    """The time is linear in the text, and this one would still take minutes."""
    began = time.process_time()
    schema = {"pattern": "(.{0,900}a){1,3}z"}

    assert schema_faults(schema) == []
    assert faults(schema, "aaz") == []
    assert "too long" in faults(schema, "a" * 2_000_000)[0][1]
    assert "too long" in faults({"propertyNames": schema}, {"a" * 2_000_000: 1})[0][1]
    assert time.process_time() - began < 2


def test_an_ordinary_pattern_holds_no_ordinary_file_up():
    schema = {"properties": {"id": {"type": "string", "pattern": "^[a-z0-9-]{1,64}$"}, "file": {}}}

    assert Validator(schema).faults({"id": "a-1", "file": "x" * 700_000}, LONG) == []


def test_many_wrong_keys_of_a_large_object_are_not_each_a_copy_of_it():
    began = time.process_time()
    value = {"ab" * 2_000 + str(number): 1 for number in range(500)}

    assert len(faults({"propertyNames": {"pattern": "^(a|b|ab)*c$"}}, value)) == 1
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "reference", ["other", "http://evil.example/x#/$defs/a", "\\\\evil\\x", " http://127.0.0.1:1", ""]
)
def test_a_root_id_makes_no_reference_leave_the_schema(reference):
    schema = {"$id": "http://evil.example/x", "$ref": reference, "$defs": {"a": {}}}

    assert "leads outside the schema" in schema_faults(schema)[0].message


@pytest.mark.parametrize("keyword", ["const", "enum", "examples", "default"])
def test_data_is_no_schema_even_if_it_looks_like_one(keyword):
    data = {"$ref": "http://127.0.0.1:1/x", "pattern": "(?=x)"}
    is_list = keyword in ("enum", "examples")
    schema = {keyword: [data] if is_list else data}

    assert schema_faults(schema) == []
    reference = f"#/{keyword}/0" if is_list else f"#/{keyword}"
    assert "names nothing" in schema_faults({**schema, "$ref": reference})[0].message


def test_nesting_beyond_all_bounds_is_refused_and_not_followed():
    assert len(schema_faults(nested(60_000, {}))) == 1


#: Schemas and small values of which all errors would take gigabytes and minutes.
NAMES = [f"field_{number}" for number in range(10_000)]
EXPLOSIVE = [
    ({"items": {"required": NAMES}}, [{}] * 100),
    ({"items": {"required": NAMES}}, [{}] * 2_000),
    ({"items": {"required": NAMES[:40]}}, [{}] * 3_000),
    ({"properties": {"text": {}}, "required": NAMES}, {"text": "x" * 200_000}),
    ({"dependentRequired": {"a": NAMES, "b": NAMES}}, {"a": "x" * 200_000, "b": 1}),
    ({"items": {"dependentRequired": {"a": NAMES}}}, [{"a": 1}] * 2_000),
    ({"oneOf": [{"items": {"required": NAMES}}, {"type": "string"}]}, [{}] * 2_000),
    ({"anyOf": [{"items": {"$ref": "#/$defs/a"}}] * 2, "$defs": {"a": {"required": NAMES}}}, [{}] * 2_000),
    ({"items": {"oneOf": [{"const": [number]} for number in range(3_000)]}}, [["x"]] * 100),
]


@pytest.mark.parametrize(("schema", "value"), EXPLOSIVE)
def test_telling_what_is_wrong_costs_no_more_than_finding_it(schema, value):
    assert schema_faults(schema) == []
    began = time.process_time()
    assert len(faults(schema, value)) == 1
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"items": {"oneOf": [{"const": number} for number in range(3_000)]}}, [2_999] * 10_000),
        ({"items": {"enum": [[number] for number in range(9_000)]}}, [[8_999]] * 1_000),
        ({"items": {"const": [[0] * 1_000] * 100}}, [[[0] * 1_000] * 100] * 100),
        ({"items": {"type": "array"}}, [[]] * 400_000),
        ({"items": {"pattern": "^([a-z]{1,99}-)+$"}}, ["ab-" * 99] * 999),
        ({"items": {"anyOf": [{"required": NAMES}, {"type": "string"}]}}, [{}] * 99),
    ],
)
def test_a_check_that_may_take_long_is_known_beforehand(schema, value):
    assert not Validator(schema).is_quick(value)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "object"}, {"rows": [[]] * 400_000}),
        ({}, "x" * 4_000_000),
        (ORDER, {"order_id": "o1", "total": 3, "lines": [{"sku": "x"}] * 900}),
        (ORDER, {"order_id": "o1", "total": 0, "lines": [{"sku": 1}, {}] * 400}),
        ({"items": {"required": NAMES}}, [dict.fromkeys(NAMES, 1)] * 9),
    ],
)
def test_an_ordinary_check_is_quick(schema, value):
    assert Validator(schema).is_quick(value)


def measured_faults(check, value):
    """What a validator finds if it never accepts a value by the size of its JSON."""
    check.accepts = lambda _: False
    try:
        return check.faults(value), check.is_quick(value)
    finally:
        del check.accepts


def random_value(rng, depth=0):
    kind = rng.randrange(5 if depth < 4 else 3)
    if kind == 3:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 4:
        return {rng.choice("abc{["): random_value(rng, depth + 1) for _ in range(rng.randrange(4))}
    return rng.choice([None, True, 0, -1.5, 2**70, "", "a{[b", "ä" * 9])


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": ["object", "array"]},
        {"additionalProperties": {"type": "string", "pattern": "^[a-z]{0,9}$"}, "items": {"type": "integer"}},
        {"anyOf": [{"items": {"$ref": "#"}}, {"additionalProperties": {"$ref": "#"}}, {"type": "integer"}]},
        {"properties": {"a": {"const": {"b": [1]}}, "b": False}, "maxProperties": 2},
    ],
)
def test_what_is_accepted_by_the_size_of_its_json_is_what_the_measured_check_lets_pass(schema):
    rng, check, accepted = random.Random(7), Validator(schema), 0
    for value in [random_value(rng) for _ in range(400)]:
        assert (check.faults(value), check.is_quick(value)) == measured_faults(check, value)
        accepted += check.accepts(value)
    assert accepted > 50


def test_nothing_is_accepted_that_could_take_long():
    link = {"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}}
    assert Validator(link).accepts(nested(7, 1))
    assert not Validator(link).accepts(nested(9, 1))  # how much deeper values cost is not known yet
    assert Validator({"type": "object"}).accepts(nested(100, 1))
    assert not Validator({"items": {"pattern": "a{1000}"}}).accepts(["a" * 10_000])
    assert not Validator({"items": {"type": "string"}}).accepts(["a" * QUICK.visits])
