"""The schema of an author's classes says what the converter takes."""

import dataclasses
import random
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Required,
    TypedDict,
    TypeVar,
)
from uuid import UUID

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infraweave.core.data.json_schema import Validator, schema_faults
from infraweave.core.data.python_types import from_author, to_author, unfit
from infraweave.core.data.type_schema import schema_of


class Tier(StrEnum):
    STANDARD = "standard"
    GOLD = "gold"


class Size(IntEnum):
    """How big."""

    SMALL = 1
    LARGE = 2


@attrs.frozen
class Line:
    sku: str
    quantity: int = 1


@attrs.frozen
class Order:
    """What a customer wants."""

    order_id: str = attrs.field(metadata={"title": "Order", "description": "The shop's number."})
    lines: list[Line]
    placed: datetime
    due: date | None = None
    tier: Tier = Tier.STANDARD
    note: bytes = b""
    totals: dict[str, float] = attrs.field(factory=dict)
    tags: frozenset[str] = frozenset()
    pair: tuple[int, str] = (1, "x")
    secret: str = attrs.field(init=False, default="")


@attrs.frozen
class Made:
    at: datetime = attrs.field(factory=lambda: datetime.now(UTC))


@dataclasses.dataclass
class Tree:
    value: int
    left: "Tree | None" = None
    children: list["Tree"] = dataclasses.field(default_factory=list)


class Base(TypedDict):
    a: int


class Patch(Base, total=False):
    b: Required[Literal["x", 1] | None]
    c: Size


class Loose(TypedDict):
    d: "NotRequired[str]"
    e: "Annotated[NotRequired[int], 'why']"


T = TypeVar("T")


@attrs.frozen
class Page(Generic[T]):
    items: list[T]
    first: T | None = None


@attrs.frozen
class Card:
    number: str


@attrs.frozen
class Bank:
    iban: str


@attrs.frozen
class Payment:
    by: Card | Bank
    pages: Page[Line]


Cents = NewType("Cents", int)
CLASSES = [Order, Tree, Patch, Loose, Page[int], Payment, list[Order], dict[Tier, Line], Tree | None]


def test_a_class_is_the_object_itself_with_its_nested_classes_beside_it():
    schema = schema_of(Order)

    assert schema["type"] == "object"
    assert schema["required"] == ["order_id", "lines", "placed"]
    assert schema["properties"]["lines"] == {"type": "array", "items": {"$ref": "#/$defs/Line"}}
    assert schema["$defs"]["Line"] == {
        "type": "object",
        "properties": {"sku": {"type": "string"}, "quantity": {"type": "integer", "default": 1}},
        "required": ["sku"],
    }
    assert "secret" not in schema["properties"]


def test_what_the_author_wrote_about_fields_and_classes_is_kept():
    schema = schema_of(Order)

    assert schema["description"] == "What a customer wants."
    assert schema["properties"]["order_id"] == {
        "type": "string",
        "title": "Order",
        "description": "The shop's number.",
    }
    assert "description" not in schema_of(Tree)
    assert schema_of(Size)["description"] == "How big."


def test_defaults_that_json_can_spell_are_shown():
    properties = schema_of(Order)["properties"]

    assert properties["tier"] == {"$ref": "#/$defs/Tier", "default": "standard"}
    assert properties["due"]["default"] is None
    assert properties["totals"]["default"] == {}
    assert properties["pair"]["default"] == [1, "x"]
    assert schema_of(Tree)["properties"]["children"]["default"] == []
    assert "default" not in schema_of(Made)["properties"]["at"]


def test_a_class_that_contains_itself_refers_to_the_root():
    left = schema_of(Tree)["properties"]["left"]

    assert left == {"anyOf": [{"$ref": "#"}, {"type": "null"}], "default": None}
    assert "$defs" not in schema_of(Tree)
    assert schema_of(list[Tree])["$defs"]["Tree"]["properties"]["left"]["anyOf"][0] == {
        "$ref": "#/$defs/Tree"
    }


def test_a_typed_dict_requires_what_it_says_even_in_text_annotations():
    assert sorted(schema_of(Patch)["required"]) == ["a", "b"]
    assert "required" not in schema_of(Loose)
    assert schema_of(Loose)["properties"]["e"] == {"type": "integer"}


def test_a_generic_class_is_named_after_what_it_holds():
    definitions = schema_of(Payment)["$defs"]

    assert definitions["Page_Line"]["properties"]["items"]["items"] == {"$ref": "#/$defs/Line"}


def test_two_classes_of_one_name_have_two_definitions():
    first = attrs.make_class("Item", {"a": attrs.field(type=int)})
    second = attrs.make_class("Item", {"b": attrs.field(type=str)})

    assert sorted(schema_of(tuple[first, second])["$defs"]) == ["Item", "Item_2"]


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (Any, {}),
        (object, {}),
        (None, {"type": "null"}),
        (bool, {"type": "boolean"}),
        (float, {"type": "number"}),
        (Cents, {"type": "integer"}),
        (datetime, {"type": "string", "format": "date-time"}),
        (date, {"type": "string", "format": "date"}),
        (UUID, {"type": "string", "format": "uuid"}),
        (list, {"type": "array"}),
        (dict, {"type": "object"}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (Mapping[str, Any], {"type": "object", "additionalProperties": {}}),
        (Sequence[int], {"type": "array", "items": {"type": "integer"}}),
        (deque[int], {"type": "array", "items": {"type": "integer"}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (set[str], {"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal["a", 1], {"type": ["string", "integer"], "enum": ["a", 1]}),
        (Literal[Tier.GOLD], {"type": "string", "enum": ["gold"]}),
        (Annotated[int, {"minimum": 1}, "ignored"], {"type": "integer", "minimum": 1}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
    ],
)
def test_plain_annotations(annotation, schema):
    assert schema_of(annotation) == schema


def test_keys_of_an_object_are_text():
    assert schema_of(dict[int, str])["propertyNames"] == {"pattern": "^[+-]?[0-9]+$"}
    assert schema_of(Counter[str])["additionalProperties"] == {"type": "integer"}
    assert schema_of(dict[Tier, int])["propertyNames"] == {"$ref": "#/$defs/Tier"}
    with pytest.raises(TypeError, match="keys of a JSON object are text"):
        schema_of(dict[float, int])


@pytest.mark.parametrize("text", ["12.50", "-3", "1E+2", "+.5"])
def test_a_decimal_is_text_so_that_no_cent_is_lost(text):
    assert Validator(schema_of(Decimal)).faults(text) == []
    assert Validator(schema_of(Decimal)).faults(12.5) != []


class Odd(Enum):
    PAIR = (1, 2)


@attrs.frozen
class Wrong:
    stream: Iterator[int]


@attrs.frozen
class Unresolved:
    later: "Nowhere"  # noqa: F821


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (complex, "complex has no JSON schema"),
        (Iterator[int], "has no JSON schema; use attrs classes"),
        (Wrong, r"Wrong\.stream: .*Iterator.* has no JSON schema"),
        (Unresolved, "Unresolved has no JSON schema: its annotations cannot be resolved .*Nowhere"),
        (Odd, "Odd has no JSON schema: its values are not plain"),
        (date | datetime, "cannot be told apart"),
        (Card | Tier, "cannot be told apart"),
        (Page, "has no JSON schema"),
        (T, "has no JSON schema"),
        ("Order", "give the class itself"),
    ],
)
def test_what_has_no_schema_is_named_in_a_sentence(annotation, words):
    with pytest.raises(TypeError, match=words):
        schema_of(annotation)


@pytest.mark.parametrize("annotation", CLASSES, ids=str)
def test_every_derived_schema_can_be_published(annotation):
    assert schema_faults(schema_of(annotation)) == []


lines = st.builds(Line, sku=st.text(), quantity=st.integers(-(2**53), 2**53))
orders = st.builds(
    Order,
    order_id=st.text(),
    lines=st.lists(lines, max_size=3),
    placed=st.datetimes(timezones=st.just(UTC)),
    due=st.none() | st.dates(),
    tier=st.sampled_from(Tier),
    note=st.binary(max_size=8),
    totals=st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False), max_size=3),
    tags=st.frozensets(st.text(), max_size=3),
    pair=st.tuples(st.integers(-9, 9), st.text()),
)
trees = st.recursive(
    st.builds(Tree, st.integers(-9, 9)),
    lambda inner: st.builds(Tree, st.integers(-9, 9), inner | st.none(), st.lists(inner, max_size=2)),
    max_leaves=6,
)
payments = st.builds(
    Payment,
    by=st.builds(Card, st.text()) | st.builds(Bank, st.text()),
    pages=st.builds(Page[Line], st.lists(lines, max_size=2), st.none() | lines),
)
patches = st.fixed_dictionaries(
    {"a": st.integers(-9, 9), "b": st.sampled_from(["x", 1, None])}, optional={"c": st.sampled_from(Size)}
)
CASES = [(Order, orders), (Tree, trees), (Payment, payments), (Patch, patches)]
SCHEMAS = {id(cls): Validator(schema_of(cls)) for cls, _ in CASES}
either = st.one_of([st.tuples(st.just(cls), values) for cls, values in CASES])


@given(either)
@settings(deadline=None)
def test_whatever_an_author_returns_passes_its_schema_and_comes_back_equal(case):
    cls, value = case
    spelled = from_author(value)

    assert SCHEMAS[id(cls)].faults(spelled) == []
    assert to_author(spelled, cls) == value


@given(either, st.integers())
@settings(deadline=None)
def test_whatever_passes_the_schema_can_be_structured(case, seed):
    cls, value = case
    spelled = spoil(from_author(value), random.Random(seed))

    if SCHEMAS[id(cls)].faults(spelled) == []:
        to_author(spelled, cls)


def spoil(value, rng):
    """Return the value with one part of it replaced or left out."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        if rng.random() < 0.3:
            return {name: part for name, part in value.items() if name != key}
        return {**value, key: spoil(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        return [*value[:place], spoil(value[place], rng), *value[place + 1 :]]
    return rng.choice([None, True, 0, 1.5, "", "gold", "2026-07-04", [], {}, {"number": "1"}, {"a": 1}])


@pytest.mark.parametrize(
    "annotation", [int | str, bool | int, int | list[int] | None, int | Card, Annotated[int, "why"] | str]
)
def test_a_whole_number_is_an_integer_however_it_is_spelled(annotation):
    assert Validator(schema_of(annotation)).faults(1.0) == []
    made = to_author(1.0, annotation)
    assert (made, type(made)) == (1, int)
    assert to_author({"a": [1.0]}, dict[str, list[annotation]]) == {"a": [1]}
    with pytest.raises(Exception, match="not an integer"):
        to_author(1.5, annotation)


# --- what the converter cannot do has no schema, and the other way round -----------------------------------


@attrs.frozen
class Same:
    number: str


@attrs.frozen
class More:
    number: str
    country: str = "DE"


@attrs.frozen
class Dog:
    kind: Literal["dog"]
    name: str


@attrs.frozen
class Cat:
    kind: Literal["cat"]
    name: str


@attrs.define
class Mutable:
    number: str


@attrs.frozen
class HoldsList:
    numbers: list[str]


class Pair(NamedTuple):
    first: int


@dataclasses.dataclass
class Initial:
    seed: dataclasses.InitVar[int]


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Card | Same, "cannot be told apart"),
        (Card | More | None, "cannot be told apart"),
        (list[Card | Same], "cannot be told apart"),
        (set[Mutable], r"set\[.*Mutable\] has no JSON schema: its items have no hash; use a list"),
        (set[HoldsList], "no hash"),
        (frozenset[dict[str, int]], "no hash"),
        (set[tuple[int, list[int]]], "no hash"),
        (set[str | list[int]], "no hash"),
        (set[deque[int]], "no hash"),
        (dict[bytes, int], "keys of a JSON object are text"),
        (Pair, "Pair has no JSON schema"),
        (Initial, "Initial has no JSON schema: seed is an InitVar"),
    ],
)
def test_what_the_converter_cannot_make_has_no_schema(annotation, words):
    with pytest.raises(TypeError, match=words):
        schema_of(annotation)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (UUID, UUID(int=7)),
        (UUID | None, UUID(int=7)),
        (dict[UUID, int], {UUID(int=7): 1}),
        (Decimal, Decimal("12.50")),
        (list[Decimal], [Decimal("0.1"), Decimal(-3)]),
        (dict[str, object], {"a": [1, None, {}]}),
        (None, None),
        (type(None), None),
        (dict[date, int], {date(2026, 7, 4): 1}),
        (set[Card], {Card("1")}),
        (set[tuple[int, str]], {(1, "a")}),
        (frozenset[Tier], frozenset({Tier.GOLD})),
        (set, {1}),
        (set[Any], {1.5}),
        (tuple[()], ()),
        (Dog | Cat, Cat("cat", "Tom")),
        (Card | Bank | None, Bank("DE1")),
        (Card | str, Card("1")),
        (Literal["x"] | Card, "x"),
        (deque[int], deque([1])),
        (Counter[str], Counter("aab")),
        (bytes, bytes(range(256))),
    ],
    ids=str,
)
def test_what_has_a_schema_comes_back_equal(annotation, value):
    spelled = from_author(value)

    assert Validator(schema_of(annotation)).faults(spelled) == []
    assert to_author(spelled, annotation) == value
    assert unfit(annotation) is None


@pytest.mark.parametrize(
    "text", ["2026-07-04T18:22:31Z", "2026-07-04t18:22:31z", "2026-07-04T20:22:31.0+02:00"]
)
def test_a_time_may_be_spelled_in_every_way_of_rfc_3339(text):
    assert Validator(schema_of(datetime)).faults(text) == []
    assert to_author(text, datetime) == datetime(2026, 7, 4, 18, 22, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (tuple[()], [1]),
        (bytes, "ü"),
        (bytes, "a b"),
        (set, [{}]),
        (set[Any], [[1]]),
        (Decimal, "1,5"),
        (None, 0),
    ],
)
def test_what_the_converter_would_trip_over_does_not_pass(annotation, value):
    assert Validator(schema_of(annotation)).faults(value) != []


class Plain: ...


@attrs.frozen
class HoldsPlain:
    plain: Plain


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (Plain, "Plain cannot be made from JSON"),
        (HoldsPlain | None, "Plain cannot be made from JSON"),
        (Iterator[int], "Iterator[int] cannot be made from JSON"),
        (Unresolved, "it cannot be made from JSON: name 'Nowhere' is not defined"),
        (Card | Same, "it cannot be made from JSON: Could not disambiguate"),
    ],
)
def test_what_can_never_be_made_is_known_beforehand(annotation, reason):
    assert reason in unfit(annotation)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@attrs.frozen
class Paint:
    litres: dict[Colour, int]
    by_name: dict[str, dict[Colour, list[Tier]]] = attrs.field(factory=dict)


paints = st.dictionaries(st.sampled_from(Colour), st.integers(-9, 9))
#: Annotations of every kind that is accepted, with values of each.
ANNOTATIONS = [
    (dict[Colour, int], paints),
    (dict[Tier, int], st.dictionaries(st.sampled_from(Tier), st.integers(-9, 9))),
    (dict[int, Tier], st.dictionaries(st.integers(-9, 9), st.sampled_from(Tier))),
    (list[dict[Colour, int]], st.lists(paints, max_size=3)),
    (dict[Colour, dict[Colour, int]], st.dictionaries(st.sampled_from(Colour), paints)),
    (Paint, st.builds(Paint, paints)),
    (dict[UUID, int], st.dictionaries(st.uuids(), st.integers(-9, 9), max_size=3)),
    (dict[date, int], st.dictionaries(st.dates(), st.integers(-9, 9), max_size=3)),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (datetime, st.datetimes(timezones=st.just(UTC))),
    (bytes, st.binary(max_size=9)),
    (frozenset[int], st.frozensets(st.integers(-9, 9), max_size=3)),
    (tuple[int, Colour], st.tuples(st.integers(-9, 9), st.sampled_from(Colour))),
    (Literal["a", 1] | None, st.sampled_from(["a", 1, None])),
    (list[Size | None], st.lists(st.none() | st.sampled_from(Size), max_size=3)),
]
KINDS = [(annotation, Validator(schema_of(annotation)), values) for annotation, values in ANNOTATIONS]
any_kind = st.one_of([st.tuples(st.just(a), st.just(check), values) for a, check, values in KINDS])


@given(any_kind)
@settings(deadline=None)
def test_a_value_of_every_accepted_annotation_keeps_its_meaning(case):
    annotation, check, value = case
    spelled = from_author(value)
    assert check.faults(spelled) == []
    assert to_author(spelled, annotation) == value


@pytest.mark.parametrize(
    "text", ["2016-12-31T23:59:60Z", "0000-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z"]
)
def test_a_time_that_cannot_be_made_does_not_pass_its_schema(text):
    assert Validator(schema_of(datetime)).faults(text) != []
    assert Validator({"format": "date"}).faults(text[:10] if text[11:13] == "00" else "0000-01-01") != []
