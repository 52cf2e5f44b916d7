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


def parse_duration(_: click.Context, __: click.Parameter, given: str | None) -> float | None:
    """Read a duration such as 30d; ``forever`` is infinite."""
    from infraweave.core.data.values import to_seconds

    try:
        return math.inf if given == "forever" else None if given is None else to_seconds(given)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def parse_size(_: click.Context, __: click.Parameter, given: str | None) -> int | None:
    """Read a size such as 500MB or 2GiB."""
    if given is None:
        return None
    match = _SIZE.fullmatch(given.strip())
    if match is None:
        raise click.BadParameter(f"{given!r} is no size; give bytes, or text such as 500MB or 2GiB")
    number, unit, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** _POWERS[unit.lower()])


def db_option(command: F) -> F:
    """Give a command the database file that it is about."""
    return click.option(
        "--db",
        type=click.Path(path_type=Path),
        default=Path("infraweave.db"),
        show_default=True,
        metavar="FILE",
        help="The database file.",
    )(command)


def _checked(_: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    from infraweave.engine.execution.outbound_policy import parse_allowed
    from infraweave.engine.execution.secrets import parse_permission

    parse: Callable[[str], object] = parse_permission if parameter.name == "secret" else parse_allowed
    for text in given:
        try:
            parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
    return given


def outbound_options(command: F) -> F:
    """Give a command what its http nodes may call, whom they trust, and which secrets they may send."""
    command = click.option(
        "--outbound-ca",
        type=click.Path(exists=True, dir_okay=False),
        metavar="FILE",
        callback=_certificates,
        help="Let http nodes trust these certificates (PEM) beside the public ones.",
    )(secrets(command))
    return allow_outbound(command)


def _certificates(_: click.Context, __: click.Parameter, file: str | None) -> str | None:
    import ssl

    try:
        if file is not None:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except (OSError, ssl.SSLError) as error:
        raise click.BadParameter(f"{file} holds no certificates in PEM: {error}") from None
    return file


def secrets(command: F) -> F:
    """Give a command the secrets of its http nodes; in the environment spaces separate them."""
    command = click.option(
        "--secret-files",
        type=click.Path(exists=True, file_okay=False),
        metavar="FOLDER",
        help="Read secrets from the files of this folder, each named like its secret.",
    )(command)
    return click.option(
        "--secret",
        multiple=True,
        metavar="[TENANT:]NAME@HOST",
        callback=_checked,
        help="Let http nodes of a tenant (default: default) send {secret.NAME}, the value of"
        " INFRAWEAVE_SECRET_NAME or of a file, to https://HOST, or to http://HOST where that is written."
        " Repeatable.",
    )(command)


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
_OWN_OPTIONS = {"max_running", "grace", "keep"}


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
    from infraweave.api.http.browser_security import check_origin

    try:
        return tuple(map(check_origin, given))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def access_options(command: F) -> F:
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
