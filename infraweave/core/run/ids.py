"""Ids that are derived from a run and an address, so that they need no random number and no storage."""

from __future__ import annotations

import hashlib

from infraweave.core.run.address import Address

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def _hash(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


def root_span_id(run_id: str) -> str:
    """Return the span id of the run itself, 16 hexadecimal digits."""
    return _hash("root", run_id)[:16]


def span_id(run_id: str, address: Address, attempt: int) -> str:
    """Return the span id of one attempt."""
    return _hash("span", run_id, address, attempt)[:16]


def idempotency_key(run_id: str, address: Address) -> str:
    """Return an entry's key for calls to other systems; it stays the same over retries and crashes."""
    return f"iw-{_hash('key', run_id, address)[:32]}"


def child_run_id(run_id: str, address: Address, attempt: int, now: int) -> str:
    """Return the id of the run that an attempt starts: a ULID whose random part is derived."""
    return f"run_{ulid(now, int(_hash('child', run_id, address, attempt)[:20], 16))}"


def ulid(now: int, chance: int) -> str:
    """Return a ULID: 48 bits of milliseconds and 80 random bits, as 26 characters of Crockford's base32."""
    number = (now << 80) | chance
    return "".join([_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5)])


def input_request_id(run_id: str, address: Address) -> str:
    """Return the request_id of a human node's input request."""
    return f"inp_{_hash('input', run_id, address)[:24]}"
