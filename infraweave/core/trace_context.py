"""W3C trace context, level 2: what comes in with a request, what goes out with a call. Pure text work.

Two rules. Exactly one valid ``traceparent`` joins the caller's trace; anything else begins a new one, and its
``tracestate`` is ignored. A malformed ``tracestate`` is dropped whole and never resets the trace.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from attrs import frozen

SAMPLED = 0x01
#: The trace id was drawn at random (level 2); passed on unchanged.
RANDOM = 0x02
#: The flags that level 2 defines; the others are cleared when a context is passed on.
_KNOWN_FLAGS = SAMPLED | RANDOM
#: The longest list of members; a longer one is dropped.
MAX_MEMBERS = 32

_OWS = " \t"
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_KEY = re.compile(r"[a-z0-9][a-z0-9_*/@-]{0,255}")
_VALUE = re.compile(r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


@frozen
class TraceContext:
    """The trace that something belongs to, and the span of whoever asked for it."""

    trace_id: str
    #: The caller's span; None where the trace began here.
    parent_span_id: str | None = None
    flags: int = SAMPLED | RANDOM
    tracestate: str = ""


def accept(traceparents: Sequence[str], tracestates: Sequence[str], new_trace_id: str) -> TraceContext:
    """Return the caller's trace, or a new one under ``new_trace_id`` where there is no valid one to join."""
    parent = _parse(traceparents[0]) if len(traceparents) == 1 else None
    if parent is None:
        return TraceContext(new_trace_id)
    trace_id, span_id, flags = parent
    return TraceContext(trace_id, span_id, flags & _KNOWN_FLAGS, combine(tracestates))


def link(traceparents: Sequence[str]) -> str | None:
    """Return the one valid traceparent of a request that joins no trace, to be recorded with what it did."""
    if len(traceparents) != 1 or _parse(traceparents[0]) is None:
        return None
    return traceparents[0].strip(_OWS)


def headers(trace: TraceContext, span_id: str) -> dict[str, str]:
    """Return the headers of an outgoing call that belongs to ``span_id``."""
    out = {"traceparent": f"00-{trace.trace_id}-{span_id}-{trace.flags:02x}"}
    if trace.tracestate:
        out["tracestate"] = trace.tracestate
    return out


def combine(tracestates: Iterable[str]) -> str:
    """Return the tracestate that several headers make together, in order; empty if it is malformed.

    A key that is there twice is passed on twice: which of the two counts is for whoever reads them to say.
    """
    raw = (member.strip(_OWS) for text in tracestates for member in text.split(","))
    members = [member for member in raw if member]
    return ",".join(members) if len(members) <= MAX_MEMBERS and all(map(_is_member, members)) else ""


def _is_member(text: str) -> bool:
    key, equals, value = text.partition("=")
    return bool(equals and _KEY.fullmatch(key) and _VALUE.fullmatch(value))


def _parse(traceparent: str) -> tuple[str, str, int] | None:
    """Return trace id, span id and flags. Versions above 00 may carry more behind a further dash."""
    match = _TRACEPARENT.fullmatch(traceparent.strip(_OWS))
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    wrong = version == "ff" or not trace_id.strip("0") or not span_id.strip("0")
    if wrong or (version == "00" and more is not None):
        return None
    return trace_id, span_id, int(flags, 16)
