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
