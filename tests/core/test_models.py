"""Models of pydantic and msgspec: their schema, JSON in and out, and what their validators say."""

from __future__ import annotations

import enum
import subprocess
import sys
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Generic, Literal, TypeVar

import msgspec
import pydantic
import pytest
from attrs import frozen
from pydantic import BaseModel, Field, SecretStr, computed_field, field_validator

from infraweave.core.data import json_codec, python_types
from infraweave.core.data.contracts import Contract, ContractViolation
from infraweave.core.data.json_schema import schema_faults, validator
from infraweave.core.data.model_libraries import faults_of
from infraweave.core.data.type_schema import schema_of

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = Field(9, gt=0, le=9)


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str = Field(alias="fullName", pattern="^[a-z]+$")


class Owner(BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    pet: Cat | Dog = Field(discriminator="kind")
    since: datetime
    born: date | None = None
    price: Decimal = Decimal("1.5")
    token: uuid.UUID = uuid.UUID(int=7)
    pause: timedelta = timedelta(seconds=3)
    numbers: set[int] = Field(default_factory=set)
    colors: dict[Color, int] = Field(default_factory=dict)
    friend: Owner | None = None

    @computed_field
    @property
    def loud(self) -> str:
        return self.pet.kind.upper()


class Page(BaseModel, Generic[T]):
    items: list[T]


class Even(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def is_even(cls, number: int) -> int:
        if number % 2:
            raise ValueError("must be even")
        return number


class Raw(BaseModel):
    data: bytes


class Encoded(Raw, ser_json_bytes="base64", val_json_bytes="base64"):
    pass


def test_bytes_of_a_model_are_refused_where_not_all_of_them_can_go_out():
    with pytest.raises(TypeError, match="set ser_json_bytes='base64' and val_json_bytes='base64'"):
        schema_of(Raw)
    value = Encoded(data=b"\xff\x00")
    schema_of(Encoded)
    assert python_types.to_author(python_types.from_author(value), Encoded) == value


@pydantic.dataclasses.dataclass
class Point:
    x: Annotated[int, Field(ge=0)]


class Parcel(msgspec.Struct, rename="camel"):
    parcel_weight: Annotated[int, msgspec.Meta(gt=0)]
    labels: list[str] = []
    rooms: dict[int, bytes] = {}
    inner: Parcel | None = None


@frozen
class Crate:
    owner: Owner
    parcels: list[Parcel]


OWNER = Owner(pet=Dog(fullName="rex"), since=datetime(2026, 1, 1, tzinfo=UTC), colors={Color.RED: 2})
PARCEL = Parcel(2, ["a"], {3: b"\xff"}, Parcel(1))


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Owner, OWNER),
        (Owner | None, None),
        (list[Owner], [OWNER, OWNER]),
        (dict[str, Cat], {"tom": Cat(lives=3)}),
        (Annotated[Cat | Dog, Field(discriminator="kind")], Dog(fullName="rex")),
        (Cat | Dog, Cat()),
        (Page[Cat], Page[Cat](items=[Cat()])),
        (Point, Point(3)),
        (Annotated[int, Field(gt=0)], 4),
        (Parcel, PARCEL),
        (Parcel | None, PARCEL),
        (Crate, Crate(OWNER, [PARCEL])),
    ],
    ids=str,
)
def test_a_value_is_the_same_after_json_and_passes_its_schema(annotation, value):
    schema = schema_of(annotation)
    assert schema_faults(schema) == []
    assert "$ref" not in schema
    stored = json_codec.loads(json_codec.dumps(python_types.from_author(value)))
    assert validator(schema).faults(stored) == []
    contract = Contract(annotation)
    assert contract.fault(stored) is None
    assert contract.made(stored) == value


def test_constraints_and_defaults_stand_in_the_schema():
    properties = schema_of(Cat)["properties"]
    assert properties["lives"] == {
        "type": "integer", "default": 9, "exclusiveMinimum": 0, "maximum": 9, "title": "Lives"
    }  # fmt: skip
    assert schema_of(Parcel)["properties"]["parcelWeight"] == {"type": "integer", "exclusiveMinimum": 0}
    assert schema_of(Owner)["additionalProperties"] is False


def test_two_models_of_one_name_are_kept_apart():
    def other():
        class Cat(BaseModel):
            claws: int
            kitten: Cat | None = None

        return Cat

    @frozen
    class Both:
        one: Owner
        two: other()  # type: ignore[valid-type]

    Both.__annotations__["two"] = other()
    schema = schema_of(Both)
    names = {name for name, cls in schema["$defs"].items() if "Cat" in name}
    assert len(names) == 2
    assert schema_faults(schema) == []


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"pet": {"kind": "cat", "lives": "3"}, "since": "2026-01-01T00:00:00Z"}, "/pet/lives"),
        ({"pet": {"kind": "cat"}}, "/since"),
        ({"pet": {"kind": "dog", "fullName": "REX"}, "since": "2026-01-01T00:00:00Z"}, "/pet/fullName"),
        ({"pet": {"kind": "cat"}, "since": "2026-01-01T00:00:00Z", "more": 1}, "/more"),
        ({"pet": {"kind": "cat"}, "since": "2026-01-01T00:00:00Z", "numbers": [1, "x"]}, "/numbers/1"),
    ],
)
def test_a_fault_names_the_place_in_the_value(value, path):
    assert [fault.path for fault in faults_of(value, Owner)] == [path]


def test_validators_are_asked_and_never_repeat_the_value():
    assert [(f.path, f.message) for f in faults_of({"number": 3}, Even)] == [
        ("/number", "Value error, must be even")
    ]
    with pytest.raises(ContractViolation, match=r"^/number Value error, must be even$"):
        Contract(Even).made({"number": 3})
    assert faults_of({"parcelWeight": 0}, Parcel) != []
    assert faults_of({"anything": 1}, Crate) == []


class Masked(BaseModel):
    key: SecretStr


class TwoNames(BaseModel):
    count: int = Field(1, validation_alias="n")


class Left(BaseModel):
    kept: int = 1
    hidden: int = Field(2, exclude=True)


class Odd(BaseModel):
    thing: object.__class__

    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Masked, "key is written masked"),
        (TwoNames, "n is read under a name that is not written"),
        (Left, "hidden is read under a name that is not written"),
        (Odd, "pydantic cannot describe it in JSON Schema"),
        (Cat | Crate, "pydantic cannot convert it"),
    ],
    ids=str,
)
def test_a_model_that_json_would_change_is_refused_in_one_line(annotation, words):
    with pytest.raises(TypeError, match=words) as caught:
        schema_of(annotation)
    assert "\n" not in str(caught.value)


def test_a_value_that_json_cannot_carry_is_refused():
    class Wide(BaseModel):
        number: float

    with pytest.raises((TypeError, ValueError)):
        python_types.from_author(Wide(number=float("nan")))


def test_what_is_not_supported_is_told_what_is():
    with pytest.raises(TypeError, match="use attrs classes, dataclasses, pydantic models, msgspec structs"):
        schema_of(complex)


def test_neither_library_is_imported_unless_the_author_does():
    code = "import sys, infraweave.engine.engine; assert not {'pydantic', 'msgspec'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
