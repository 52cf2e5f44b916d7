"""Values of every annotation that is accepted keep their meaning on the way through a run, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from itertools import count
from typing import Annotated, Any, Literal, NewType, NotRequired, TypedDict
from uuid import UUID

import attrs
import msgspec
import pydantic
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st

from infraweave import DeclarationError, Workflow
from infraweave.core.data.contracts import Contract
from infraweave.core.data.json_codec import dumps, loads, parse
from infraweave.core.data.json_schema import validator
from infraweave.core.data.python_types import from_author
from infraweave.core.data.schema_defaults import defaults_of
from infraweave.core.workflow.document_codec import document_from_json, document_to_json


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(Enum):
    LOW = 1
    HIGH = 2


class Tier(StrEnum):
    GOLD = "gold"
    TIN = "tin"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


Cents = NewType("Cents", int)
Named = NewType("Named", str)
whole = st.integers(-(2**63), 2**63 - 1)
fraction = st.floats(allow_nan=False, allow_infinity=False)
#: Annotations whose values can be keys, with their values.
KEYS = [
    (str, st.text(max_size=5)),
    (int, whole),
    (Named, st.text(max_size=5)),
    (Colour, st.sampled_from(Colour)),
    (Tier, st.sampled_from(Tier)),
    (UUID, st.uuids()),
    (date, st.dates()),
    (Literal["a", "b"], st.sampled_from(["a", "b"])),
]
#: More whose values can be in sets.
HASHABLE = [
    *KEYS,
    (bool, st.booleans()),
    (float, fraction),
    (bytes, st.binary(max_size=5)),
    (datetime, st.datetimes(timezones=st.just(UTC))),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (Level, st.sampled_from(Level)),
    (Size, st.sampled_from(Size)),
    (Cents, whole),
    (Annotated[int, "cents"], whole),
    (Literal["a", 1] | None, st.sampled_from(["a", 1, None])),
]
PLAIN = [*HASHABLE, (None, st.none()), (Any, st.none() | st.booleans() | st.text(max_size=3))]
numbers = count()


def a_list(item):
    return list[item[0]], st.lists(item[1], max_size=2)


def any_tuple(item):
    return tuple[item[0], ...], st.lists(item[1], max_size=2).map(tuple)


def a_pair(one, other):
    return tuple[one[0], other[0]], st.tuples(one[1], other[1])


def a_mapping(key, item):
    return dict[key[0], item[0]], st.dictionaries(key[1], item[1], max_size=2)


def a_view(key, item):
    return Mapping[key[0], item[0]], st.dictionaries(key[1], item[1], max_size=2)


def a_union(*members):
    union = members[0][0]
    try:
        for annotation, _ in members[1:]:
            union = union | annotation
    except TypeError:  # before Python 3.14 what has no hash cannot be there
        reject()
    return union, st.one_of(*(values for _, values in members))


def optional(one):
    return a_union(one, (None, st.none())) if one[0] is not None else one


def described(one):
    return Annotated[one[0], {"title": "One"}], one[1]


def attrs_class(fields):
    cls = attrs.make_class(
        f"A{next(numbers)}", {n: attrs.field(type=f[0]) for n, f in fields.items()}, frozen=True
    )
    return cls, st.builds(cls, **{name: values for name, (_, values) in fields.items()})


def data_class(fields):
    cls = dataclasses.make_dataclass(f"D{next(numbers)}", [(n, f[0]) for n, f in fields.items()])
    return cls, st.builds(cls, **{name: values for name, (_, values) in fields.items()})


def typed_dict(fields):
    *needed, last = fields
    annotations = {**{name: fields[name][0] for name in needed}, last: NotRequired[fields[last][0]]}
    cls = TypedDict(f"T{next(numbers)}", annotations)
    values = {name: values for name, (_, values) in fields.items()}
    return cls, st.fixed_dictionaries({n: values[n] for n in needed}, optional={last: values[last]})


def model(fields):
    try:
        cls = pydantic.create_model(f"P{next(numbers)}", **{n: (f[0], ...) for n, f in fields.items()})
    except pydantic.errors.PydanticUserError:
        reject()  # no author can declare it
    return cls, st.builds(cls, **{name: values for name, (_, values) in fields.items()})


def struct(fields):
    cls = msgspec.defstruct(f"M{next(numbers)}", [(n, f[0]) for n, f in fields.items()])
    return cls, st.builds(cls, **{name: values for name, (_, values) in fields.items()})


def fields_of(inner):
    return st.dictionaries(st.sampled_from(["a", "b_c", "kind"]), inner, min_size=1, max_size=3)


def grown(inner):
    key, item = st.sampled_from(KEYS), st.sampled_from(HASHABLE)
    return st.one_of(
        st.builds(a_list, inner),
        st.builds(any_tuple, inner),
        st.builds(a_pair, inner, inner),
        st.builds(a_mapping, key, inner),
        st.builds(a_view, key, inner),
        item.map(lambda one: (set[one[0]], st.sets(one[1], max_size=2))),
        item.map(lambda one: (frozenset[one[0]], st.frozensets(one[1], max_size=2))),
        st.builds(a_union, inner, inner),
        st.builds(optional, inner),
        st.builds(described, inner),
        *(fields_of(inner).map(made) for made in (attrs_class, data_class, typed_dict, model, struct)),
    )


annotations = st.recursive(st.sampled_from(PLAIN), grown, max_leaves=6)


def declared(annotation):
    """The workflow's schema as the document has it, once stored; None where the annotation is refused."""
    flow = Workflow("any", version="v1", input=annotation)

    def seen(input):
        return input

    seen.__annotations__ = {"input": annotation, "return": annotation}
    flow.node(seen)
    try:
        return document_from_json(loads(dumps(document_to_json(flow.compile())))).input_schema
    except DeclarationError:
        return None


@given(st.data())
@settings(derandomize=True, deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
def test_values_of_every_annotation_that_is_accepted_come_back_as_they_were(data):
    annotation, values = data.draw(annotations)
    schema = declared(annotation)
    assume(schema is not None)
    value = data.draw(values)

    sent = parse(dumps(from_author(value)))
    contract = Contract(annotation)

    assert validator(schema).faults(sent) == []
    assert defaults_of(schema).filled(sent) == sent
    assert contract.fault(sent) is None
    assert contract.made(sent) == value
