"""Access: principals, their grants, and tokens.

A grant is ``ACTION:RESOURCE``. The resource of a run is its workflow. What is not granted is denied. A token
is ``iw_live_``, 30 base62 characters, and a checksum of 6 characters (the CRC-32 of everything before it), so
that typing errors and leaks are detected without the database. Only the SHA-256 of a token is stored.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from typing import Literal, TypeAlias, get_args

from infraweave.core.records import frozen

Action: TypeAlias = Literal["read", "execute", "signal", "cancel", "operate", "publish", "admin"]
ACTIONS: tuple[Action, ...] = get_args(Action)

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIX = "iw_live_"
SECRET_LENGTH = 30
CHECKSUM_LENGTH = 6

#: The tenant and the principal that a new database has.
FIRST_TENANT, FIRST_PRINCIPAL = "default", "admin"

_WORKFLOW = re.compile(r"workflow:(\*|[A-Za-z0-9][A-Za-z0-9._-]{0,127})")
_TOKEN = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{SECRET_LENGTH + CHECKSUM_LENGTH}}}")


@frozen
class Grant:
    """Permission for one action on one resource: ``workflow:<id>``, ``workflow:*``, or ``tenant:*``."""

    action: Action
    resource: str

    def __str__(self) -> str:
        return f"{self.action}:{self.resource}"


@frozen
class Principal:
    """A caller: a name within a tenant, and its grants."""

    tenant: str
    name: str
    grants: frozenset[Grant] = frozenset()


#: The grants of the first principal of a new database.
EVERY_GRANT: tuple[Grant, ...] = tuple(
    Grant(action, "tenant:*" if action == "admin" else "workflow:*") for action in ACTIONS
)


#: The maximum length of the name of a tenant or a principal, in characters.
MAX_NAME_LENGTH = 128


def name_fault(text: str) -> str | None:
    """Return the fault of a tenant's or a principal's name, or None."""
    if not 1 <= len(text) <= MAX_NAME_LENGTH:
        return f"must have 1 to {MAX_NAME_LENGTH} characters"
    return "must be text in UTF-8" if any("\ud800" <= character <= "\udfff" for character in text) else None


def parse_grant(text: str) -> Grant:
    """Return the grant in a text like ``execute:workflow:checkout-flow``.

    Raises:
        ValueError: the action or the resource does not exist.
    """
    action, _, resource = text.partition(":")
    if action not in ACTIONS:
        raise ValueError(f"{text!r}: {action!r} is not an action; the actions are {', '.join(ACTIONS)}")
    if action == "admin" and resource != "tenant:*":
        raise ValueError(f"{text!r}: admin is granted on tenant:*")
    if action != "admin" and not _WORKFLOW.fullmatch(resource):
        raise ValueError(f"{text!r}: the resource must be workflow:<id> or workflow:*")
    return Grant(action, resource)


def allows(principal: Principal, action: Action, resource: str) -> bool:
    """Tell whether a principal may do ``action`` on ``resource``. Every route calls this."""
    kind, _, _ = resource.partition(":")
    wanted = (Grant(action, resource), Grant(action, f"{kind}:*"))
    return any(grant in principal.grants for grant in wanted)


def readable(principal: Principal) -> frozenset[str] | None:
    """Return the workflows that a principal may read. None: all."""
    names = {grant.resource.partition(":")[2] for grant in principal.grants if grant.action == "read"}
    return None if "*" in names else frozenset(names)


def checksum(text: str) -> str:
    """Return the CRC-32 of ``text`` as six zero-padded base62 characters."""
    number, out = zlib.crc32(text.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        out = ALPHABET[digit] + out
    return out


def make_token(secret: str) -> str:
    """Return the token with this ``secret``, 30 base62 characters from a CSPRNG."""
    return PREFIX + secret + checksum(PREFIX + secret)


def is_token(text: str) -> bool:
    """Tell whether ``text`` has the form and the checksum of a token."""
    return bool(_TOKEN.fullmatch(text)) and checksum(text[:-CHECKSUM_LENGTH]) == text[-CHECKSUM_LENGTH:]


def token_hash(token: str) -> bytes:
    """Return the SHA-256 of a token, which is stored instead of it."""
    return hashlib.sha256(token.encode()).digest()
