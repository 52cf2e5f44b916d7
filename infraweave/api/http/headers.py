"""Headers with a grammar: Accept, Content-Type, Prefer. Pure; what cannot be understood is ignored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_RANGE = re.compile(r"\s*([\w!#$%&'*+.^`|~-]+)/([\w!#$%&'*+.^`|~-]+)\s*((?:;[^,]*)?)\s*")
_QUALITY = re.compile(r";\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*(?:;|$)", re.IGNORECASE)
_WAIT = re.compile(r'\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;.*)?', re.IGNORECASE | re.DOTALL)


def choose(accepts: Iterable[str], offers: Sequence[str]) -> str | None:
    """Return the offer that Accept likes best, the first of equals; None where it takes none.

    Among offers of the same quality one that was named goes before one that a wildcard covers.
    """
    ranges = _ranges(accepts)
    if not ranges:
        return offers[0]
    rated = [(*_rate(offer, ranges), -place, offer) for place, offer in enumerate(offers)]
    quality, _, _, offer = max(rated)
    return offer if quality > 0 else None


def _ranges(accepts: Iterable[str]) -> list[tuple[str, str, float]]:
    matches = (_RANGE.fullmatch(part) for text in accepts for part in text.split(","))
    return [(m[1].lower(), m[2].lower(), _quality(m[3])) for m in matches if m]


def _quality(parameters: str) -> float:
    match = _QUALITY.search(parameters)
    return float(match[1]) if match else 1.0


def _rate(offer: str, ranges: list[tuple[str, str, float]]) -> tuple[float, int]:
    """Return the quality of an offer, by the range that fits it most closely, and how closely that is."""
    major, minor = offer.split("/")
    fits = [
        ((kind == major) + (subtype == minor), quality)
        for kind, subtype, quality in ranges
        if (kind, subtype) in ((major, minor), (major, "*"), ("*", "*"))
    ]
    closeness, quality = max(fits, default=(0, 0.0))
    return quality, closeness


def is_json(content_type: str) -> bool:
    """Tell whether a Content-Type says JSON in UTF-8."""
    media, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [p.partition("=")[2].strip('" ') for p in parameters if p.startswith("charset")]
    return media == "application/json" and all(charset in ("utf-8", "utf8") for charset in charsets)


def preferred_wait(prefers: Iterable[str], most: int) -> int | None:
    """Return the seconds that ``Prefer: wait=N`` (RFC 7240) asks for, at most ``most``; the first counts."""
    matches = (_WAIT.fullmatch(part) for text in prefers for part in text.split(","))
    return next((min(int(match[1]), most) for match in matches if match), None)
