"""W3C trace context, level 2: the headers of incoming requests and of outgoing calls.

Exactly one valid ``traceparent`` joins the caller's trace. Otherwise a new trace begins and ``tracestate`` is
ignored. A malformed ``tracestate`` is dropped as a whole; the trace is joined all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from infraweave.core.records import frozen

SAMPLED = 0x01
#: The trace id is random (level 2). Passed on unchanged.
RANDOM = 0x02
#: The flags that level 2 defines. Others are cleared when a context is passed on.
_KNOWN_FLAGS = SAMPLED | RANDOM
#: The maximum number of members of a tracestate. A longer one is dropped.
MAX_MEMBERS = 32

_OWS = " \t"
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_KEY = re.compile(r"[a-z0-9][a-z0-9_*/@-]{0,255}")
_VALUE = re.compile(r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


@frozen
class TraceContext:
    """The trace that a run belongs to, and the span of its caller."""

    trace_id: str
    #: The span of the caller. None: the trace began here.
    parent_span_id: str | None = None
    flags: int = SAMPLED | RANDOM
    tracestate: str = ""


def accept(traceparents: Sequence[str], tracestates: Sequence[str], new_trace_id: str) -> TraceContext:
    """Return the trace of the caller, or a new one with ``new_trace_id`` if there is none to join."""
    parent = _parse(traceparents[0]) if len(traceparents) == 1 else None
    if parent is None:
        return TraceContext(new_trace_id)
    trace_id, span_id, flags = parent
    return TraceContext(trace_id, span_id, flags & _KNOWN_FLAGS, combine(tracestates))


def link(traceparents: Sequence[str]) -> str | None:
    """Return the valid traceparent of a request that joins no trace, to be recorded as a link, or None."""
    if len(traceparents) != 1 or _parse(traceparents[0]) is None:
        return None
    return traceparents[0].strip(_OWS)


def headers(trace: TraceContext, span_id: str) -> dict[str, str]:
    """Return the headers of an outgoing call under the span ``span_id``."""
    out = {"traceparent": f"00-{trace.trace_id}-{span_id}-{trace.flags:02x}"}
    if trace.tracestate:
        out["tracestate"] = trace.tracestate
    return out


def combine(tracestates: Iterable[str]) -> str:
    """Return the combined tracestate of several headers, in order. It is empty if it is malformed.

    A repeated key is passed on as it is: its reader decides which of the two counts.
    """
    raw = (member.strip(_OWS) for text in tracestates for member in text.split(","))
    members = [member for member in raw if member]
    return ",".join(members) if len(members) <= MAX_MEMBERS and all(map(_is_member, members)) else ""


def _is_member(text: str) -> bool:
    key, equals, value = text.partition("=")
    return bool(equals and _KEY.fullmatch(key) and _VALUE.fullmatch(value))


def _parse(traceparent: str) -> tuple[str, str, int] | None:
    """Return trace id, span id and flags. Versions above 00 may have more fields after another dash."""
    match = _TRACEPARENT.fullmatch(traceparent.strip(_OWS))
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    wrong = version == "ff" or not trace_id.strip("0") or not span_id.strip("0")
    if wrong or (version == "00" and more is not None):
        return None
    return trace_id, span_id, int(flags, 16)
