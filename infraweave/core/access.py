"""Who may do what: principals, grants, the one ``allows``, and the shape of tokens.

A grant is ``ACTION:RESOURCE``. A run's resource is its workflow. Whatever is not granted is denied. Tokens
are ``iw_live_``, 30 base62 characters, and 6 of checksum (CRC-32 of all that precedes them), so that typos
and leaks can be told without the database. Chance is handed in; only the SHA-256 of a token is ever stored.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from typing import Literal, TypeAlias, get_args

from attrs import frozen

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
    """Who is asking: a name within a tenant, and its grants."""

    tenant: str
    name: str
    grants: frozenset[Grant] = frozenset()


#: What the first principal of a new database gets.
EVERY_GRANT: tuple[Grant, ...] = tuple(
    Grant(action, "tenant:*" if action == "admin" else "workflow:*") for action in ACTIONS
)


#: Characters of the name of a tenant or a principal.
LONGEST_NAME = 128


def name_fault(text: str) -> str | None:
    """Return what is wrong with the name of a tenant or a principal, if anything is."""
    if not 1 <= len(text) <= LONGEST_NAME:
        return f"must have 1 to {LONGEST_NAME} characters"
    return "must be text in UTF-8" if any("\ud800" <= sign <= "\udfff" for sign in text) else None


def parse_grant(text: str) -> Grant:
    """Return the grant that ``text`` (``execute:workflow:checkout-flow``) spells.

    Raises:
        ValueError: the action or the resource does not exist.
    """
    action, _, resource = text.partition(":")
    if action not in ACTIONS:
        raise ValueError(f"{text!r}: {action!r} is no action; there are {', '.join(ACTIONS)}")
    if action == "admin" and resource != "tenant:*":
        raise ValueError(f"{text!r}: admin is granted on tenant:*")
    if action != "admin" and not _WORKFLOW.fullmatch(resource):
        raise ValueError(f"{text!r}: the resource must be workflow:<id> or workflow:*")
    return Grant(action, resource)


def allows(principal: Principal, action: Action, resource: str) -> bool:
    """Tell whether the principal may do ``action`` on ``resource``; every route asks here."""
    kind, _, _ = resource.partition(":")
    wanted = (Grant(action, resource), Grant(action, f"{kind}:*"))
    return any(grant in principal.grants for grant in wanted)


def readable(principal: Principal) -> frozenset[str] | None:
    """Return the workflows that the principal may read; None means all."""
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
    """Return the token around ``secret``, 30 base62 characters from a CSPRNG."""
    return PREFIX + secret + checksum(PREFIX + secret)


def is_token(text: str) -> bool:
    """Tell whether ``text`` has the form and the checksum of a token."""
    return bool(_TOKEN.fullmatch(text)) and checksum(text[:-CHECKSUM_LENGTH]) == text[-CHECKSUM_LENGTH:]


def token_hash(token: str) -> bytes:
    """Return what is stored of a token."""
    return hashlib.sha256(token.encode()).digest()
