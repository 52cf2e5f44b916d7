"""Accept, Content-Type and Prefer, read with Werkzeug's parsers. Invalid parts are ignored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_list_header, parse_options_header

_MOST_DIGITS = 9


def best_match(accepts: Sequence[str], offers: Sequence[str]) -> str | None:
    """Return the offer with the highest quality in Accept; None if Accept allows none.

    Among offers of equal quality a named one precedes one that a wildcard matches, and the first precedes
    others. Parameters of media types are ignored.
    """
    if not accepts or (len(accepts) == 1 and accepts[0] in ("*/*", offers[0])):
        return offers[0]  # what nearly all clients send needs no parser
    parsed = parse_accept_header(",".join(accepts))
    accept = MIMEAccept([(media.partition(";")[0].strip().lower(), quality) for media, quality in parsed])
    if not accept:
        return offers[0]
    named = set(accept.values())
    best = max(offers, key=lambda offer: (accept.quality(offer), offer in named))
    return best if accept.quality(best) > 0 else None


def is_json(content_type: str) -> bool:
    """Tell whether a Content-Type is JSON in UTF-8."""
    media, options = parse_options_header(content_type)
    return media.lower() == "application/json" and options.get("charset", "utf-8").lower() in (
        "utf-8",
        "utf8",
    )


def preferred_wait(prefers: Iterable[str], most: int) -> int | None:
    """Return the seconds in the first ``Prefer: wait=N`` (RFC 7240), at most ``most``; None without one."""
    for part in (part for text in prefers for part in parse_list_header(text)):
        name, _, value = parse_options_header(part)[0].partition("=")
        digits = value.strip().strip('"')
        is_number = digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS
        if name.strip().lower() == "wait" and is_number:
            return min(int(digits), most)
    return None
