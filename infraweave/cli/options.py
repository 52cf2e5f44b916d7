"""Options that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


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


#: What --limit sets: the settings that are numbers and have no option of their own.
_OWN_OPTIONS = {"max_running", "grace"}


def limits() -> dict[str, type]:
    """Return the names of the limits, and whether each is whole or may be a fraction."""
    from attrs import asdict

    from infraweave.settings import Settings

    numbers = {name: type(value) for name, value in asdict(Settings()).items() if type(value) in (int, float)}
    return {name: kind for name, kind in numbers.items() if name not in _OWN_OPTIONS}


def _limits(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    return tuple(_limit(text) for text in given)


def _limit(text: str) -> tuple[str, float]:
    known = limits()
    name, _, number = text.partition("=")
    if name not in known:
        raise click.BadParameter(f"{name!r} is no limit; there are {', '.join(sorted(known))}")
    try:
        value = known[name](number)
    except ValueError:
        value = -1
    if not 0 <= value < 2**63:
        kind = "a whole number" if known[name] is int else "a number"
        raise click.BadParameter(f"{text!r}: expected {name}= and {kind} from 0")
    return name, value


def _origins(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    from infraweave.api.policy import check_origin

    try:
        return tuple(map(check_origin, given))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def guarding(command: F) -> F:
    """Give a command what guards the server's door; in the environment spaces separate what is repeatable."""
    command = click.option(
        "--limit", multiple=True, metavar="NAME=NUMBER", callback=_limits, help="Set a limit. Repeatable."
    )(command)
    command = click.option(
        "--allow-origin",
        multiple=True,
        metavar="ORIGIN",
        callback=_origins,
        help="Let pages of this origin, such as https://console.example.com, read answers. Repeatable.",
    )(command)
    return click.option(
        "--allow-host",
        multiple=True,
        metavar="HOST",
        help="Answer to this name in the Host header, too. Repeatable.",
    )(command)
