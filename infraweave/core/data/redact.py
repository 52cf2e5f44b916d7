"""Removes secrets from texts that people read, and escapes characters that could forge a line. Pure."""

from __future__ import annotations

import re

_SECRETS = re.compile(
    r"(?P<kind>iw_live_|whsec_)[0-9A-Za-z+/=_-]{8,}"
    r"|(?P<scheme>\b(?:Bearer|Basic))\s+[A-Za-z0-9._~+/=-]{12,}"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)",
    re.IGNORECASE,
)
_HIDDEN = "[redacted]"
#: Characters that begin a line, move a cursor or reverse a text: C0, C1, line ends, bidi marks. Also lone
#: surrogates, which cannot be encoded.
_FORGING = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def redact(text: str) -> str:
    """Return a text without tokens, webhook secrets, and credentials in headers and URLs."""
    return _SECRETS.sub(_instead, text)


def _instead(match: re.Match[str]) -> str:
    kind, scheme = match["kind"], match["scheme"]
    return f"{kind or ''}{_HIDDEN}" if scheme is None else f"{scheme} {_HIDDEN}"


def one_line(text: str, longest: int) -> str:
    """Return a text for one line: control characters escaped, at most ``longest`` characters of the text."""
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return _FORGING.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def sanitize(text: str, longest: int) -> str:
    """Return a caller's text for one line, without secrets."""
    return one_line(redact(text), longest)
