"""Ids that follow from where they belong, so that nothing has to be drawn or stored for them."""

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
    """Return the key of one entry, the same over retries and crashes: for calls to other systems."""
    return f"iw-{_hash('key', run_id, address)[:32]}"


def child_run_id(run_id: str, address: Address, attempt: int, now: int) -> str:
    """Return the id of the run that an attempt starts: a ULID whose chance follows from where it belongs."""
    return f"run_{ulid(now, int(_hash('child', run_id, address, attempt)[:20], 16))}"


def ulid(now: int, chance: int) -> str:
    """Return a ULID: 48 bits of milliseconds and 80 of chance, 26 characters of Crockford's base32."""
    number = (now << 80) | chance
    return "".join([_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5)])


def input_request_id(run_id: str, address: Address) -> str:
    """Return the request_id under which a human node asks."""
    return f"inp_{_hash('input', run_id, address)[:24]}"
