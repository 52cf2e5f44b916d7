"""Options that several commands take."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt]?)(i?)b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def as_seconds(_: click.Context, __: click.Parameter, given: str | None) -> float | None:
    """Read a duration such as 30d; ``forever`` is infinite."""
    from infraweave.core.values import seconds

    try:
        return math.inf if given == "forever" else None if given is None else seconds(given)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def as_bytes(_: click.Context, __: click.Parameter, given: str | None) -> int | None:
    """Read a size such as 500MB or 2GiB."""
    if given is None:
        return None
    match = _SIZE.fullmatch(given.strip())
    if match is None:
        raise click.BadParameter(f"{given!r} is no size; give bytes, or text such as 500MB or 2GiB")
    number, unit, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** _POWERS[unit.lower()])


def db_file(command: F) -> F:
    """Give a command the database file that it is about."""
    return click.option(
        "--db",
        type=click.Path(path_type=Path),
        default=Path("infraweave.db"),
        show_default=True,
        metavar="FILE",
        help="The database file.",
    )(command)


def _checked(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    from infraweave.engine.outbound import parse_allowed

    for text in given:
        try:
            parse_allowed(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
    return given


def allow_outbound(command: F) -> F:
    """Give a command the exceptions to the outbound guard; in the environment spaces separate them."""
    return click.option(
        "--allow-outbound",
        multiple=True,
        metavar="HOST|HOST:PORT|CIDR",
        callback=_checked,
        help="Let http nodes call this, though it is no public address. Repeatable.",
    )(command)
