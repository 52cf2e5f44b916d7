"""What must not be told: secrets in texts that people read, and characters that would forge a line. Pure."""

from __future__ import annotations

import re

_SECRETS = re.compile(
    r"(?P<kind>iw_live_|whsec_)[0-9A-Za-z+/=_-]{8,}"
    r"|(?P<scheme>\b(?:Bearer|Basic))\s+[A-Za-z0-9._~+/=-]{12,}"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)",
    re.IGNORECASE,
)
_HIDDEN = "[redacted]"
#: What begins a line, moves a cursor, or turns a text around: C0, C1, ends of lines, bidi marks, and lone
#: surrogates, which cannot be written at all.
_FORGING = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def redact(text: str) -> str:
    """Return a text with tokens, secrets of webhooks, credentials of headers and of addresses left out."""
    return _SECRETS.sub(_instead, text)


def _instead(match: re.Match[str]) -> str:
    kind, scheme = match["kind"], match["scheme"]
    return f"{kind or ''}{_HIDDEN}" if scheme is None else f"{scheme} {_HIDDEN}"


def one_line(text: str, longest: int) -> str:
    """Return a text as a part of one line: control characters escaped, and not longer than ``longest``."""
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return _FORGING.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def sanitize(text: str, longest: int) -> str:
    """Return what a caller named as a part of one line, without what must not be told."""
    return one_line(redact(text), longest)
