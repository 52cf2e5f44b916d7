"""Options shared by several commands."""

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
    """Parse a duration such as 30d into seconds; ``forever`` is infinite."""
    from infraweave.core.data.values import to_seconds

    try:
        return math.inf if given == "forever" else None if given is None else to_seconds(given)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def parse_size(_: click.Context, __: click.Parameter, given: str | None) -> int | None:
    """Parse a size such as 500MB or 2GiB into bytes."""
    if given is None:
        return None
    match = _SIZE.fullmatch(given.strip())
    if match is None:
        raise click.BadParameter(f"{given!r} is not a size; give bytes, or for example 500MB or 2GiB")
    number, unit, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** _POWERS[unit.lower()])


#: The option --json, passed as ``as_json``.
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def db_option(command: F) -> F:
    """Add --db."""
    return click.option(
        "--db",
        type=click.Path(path_type=Path),
        default=Path("infraweave.db"),
        show_default=True,
        metavar="FILE",
        help="The database file.",
    )(command)


def _check_parsed(_: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
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
    """Add the options for http nodes: allowed targets, trusted certificates and secrets."""
    command = click.option(
        "--outbound-ca",
        type=click.Path(exists=True, dir_okay=False),
        metavar="FILE",
        callback=_certificates,
        help="Certificates (PEM) that http nodes trust in addition to the public ones.",
    )(secret_options(command))
    return allow_outbound_option(command)


def _certificates(_: click.Context, __: click.Parameter, file: str | None) -> str | None:
    import ssl

    try:
        if file is not None:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except (OSError, ssl.SSLError) as error:
        raise click.BadParameter(f"{file} does not contain PEM certificates: {error}") from None
    return file


def secret_options(command: F) -> F:
    """Add the secrets of http nodes. In environment variables, separate values with spaces."""
    command = click.option(
        "--secret-files",
        type=click.Path(exists=True, file_okay=False),
        metavar="FOLDER",
        help="Read secrets from files in this folder; the file name is the secret's name.",
    )(command)
    return click.option(
        "--secret",
        multiple=True,
        metavar="[TENANT:]NAME@HOST",
        callback=_check_parsed,
        help="Let http nodes of a tenant (default: default) send {secret.NAME} to https://HOST, or to"
        " http://HOST if written so. Its value is in INFRAWEAVE_SECRET_NAME or a file. Repeatable.",
    )(command)


def allow_outbound_option(command: F) -> F:
    """Add exceptions to the outbound guard. In environment variables, separate values with spaces."""
    return click.option(
        "--allow-outbound",
        multiple=True,
        metavar="HOST|HOST:PORT|CIDR",
        callback=_check_parsed,
        help="Let http nodes call this non-public address. Repeatable.",
    )(command)


#: Numeric settings that --limit does not set, because they have their own options.
_OWN_OPTIONS = {"max_running", "grace", "keep"}


def limit_settings() -> dict[str, type]:
    """Return the settings that --limit can set, with the type of each: int or float."""
    from attrs import asdict

    from infraweave.settings import Settings

    numbers = {name: type(value) for name, value in asdict(Settings()).items() if type(value) in (int, float)}
    return {name: kind for name, kind in numbers.items() if name not in _OWN_OPTIONS}


def _limits(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    return tuple(_limit(text) for text in given)


def _limit(text: str) -> tuple[str, float]:
    known = limit_settings()
    name, _, number = text.partition("=")
    if name not in known:
        raise click.BadParameter(f"{name!r} is not a limit; expected one of {', '.join(sorted(known))}")
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
    """Add --limit, --allow-host and --allow-origin. In environment variables, separate values with spaces."""
    command = click.option(
        "--limit",
        multiple=True,
        metavar="NAME=NUMBER",
        callback=_limits,
        help="Set a limit; the README lists them. Repeatable.",
    )(command)
    command = click.option(
        "--allow-origin",
        multiple=True,
        metavar="ORIGIN",
        callback=_origins,
        help="Let web pages of this origin, such as https://console.example.com, use the API. Repeatable.",
    )(command)
    return click.option(
        "--allow-host",
        multiple=True,
        metavar="HOST",
        help="Also accept this name in the Host header. Repeatable.",
    )(command)
