"""Random values of the classes of requests and responses, drawn by their annotations."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import attrs

from infraweave.api.http.decoding import hints

TEXTS = ("", "a", "tea", 'q"\\\n', "茶🍵", "2026-07-04T18:22:31Z", "x" * 300)
NUMBERS = (0, 1, -1, 3.0, 2.5, 2**53, True)
TIMES = ("2026-07-04T18:22:31Z", "2026-07-04t18:22:31.5+02:00")


def classes_of(routes):
    """Return the classes of the bodies and of the responses of some routes, with those in them."""
    bodies = {route.body for route in routes if route.body is not None and route.decoder is None}
    schemas = {reply.schema for route in routes for reply in route.responses.values()}
    schemas |= {one for route in routes for reply in route.responses.values() for _, one in reply.media}
    return _within(bodies), _within(schemas)


def _within(roots):
    found, waiting = set(), list(roots)
    while waiting:
        annotation = waiting.pop()
        waiting += get_args(annotation)
        if isinstance(annotation, type) and attrs.has(annotation) and annotation not in found:
            found.add(annotation)
            waiting += [hints(annotation)[field.name] for field in attrs.fields(annotation)]
    return sorted(found, key=lambda cls: f"{cls.__module__}.{cls.__qualname__}")


def anything(dice, depth=2):
    """Return any JSON value."""
    kind = dice.randrange(7 if depth else 5)
    if kind == 6:
        return {dice.choice(TEXTS): anything(dice, depth - 1) for _ in range(dice.randrange(4))}
    if kind == 5:
        return [anything(dice, depth - 1) for _ in range(dice.randrange(4))]
    return (None, dice.choice(NUMBERS), dice.choice(TEXTS), False, 7)[kind]


def of(annotation, dice, *, as_json):
    """Return a value of an annotation: an object, or the JSON that is sent for one."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return of(dice.choice(arguments), dice, as_json=as_json)
    if annotation is Any:
        return anything(dice)
    if origin is Annotated:
        return dice.choice(TIMES)
    if origin is Literal:
        return dice.choice(arguments)
    if origin in (dict, Mapping):
        return {dice.choice(TEXTS): of(arguments[1], dice, as_json=as_json) for _ in range(dice.randrange(3))}
    if origin in (tuple, list):
        items = [of(arguments[0], dice, as_json=as_json) for _ in range(dice.randrange(4))]
        return items if as_json or origin is list else tuple(items)
    if isinstance(annotation, type) and attrs.has(annotation):
        return an_object(annotation, dice, as_json=as_json)
    simple = {str: TEXTS, int: (0, 5, -3), float: (0.5, 2), bool: (True, False), bytes: (b"",)}
    return None if annotation is type(None) else dice.choice(simple[annotation])


def an_object(cls, dice, *, as_json):
    """Return an object of a class, or its JSON; fields with a default are there or not."""
    fields = [f for f in attrs.fields(cls) if f.init and (f.default is attrs.NOTHING or dice.random() < 0.6)]
    values = {field.name: of(hints(cls)[field.name], dice, as_json=as_json) for field in fields}
    return values if as_json else cls(**values)
