"""Tenants, principals, grants and tokens. Only the hash of a token is stored."""

from __future__ import annotations

import hmac
import sqlite3
from collections.abc import Iterable, Mapping
from functools import lru_cache

from infraweave.core.access import EVERY_GRANT, FIRST_PRINCIPAL, FIRST_TENANT, Grant, Principal, parse_grant
from infraweave.core.data.json_codec import dumps, loads
from infraweave.core.lazy_records import frozen
from infraweave.errors import PrincipalNotFound, TokenNotFound
from infraweave.store.sqlite.audit_record import AuditRecord
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.statements import QUERIES, as_dict, fetch


@frozen(kw_only=True)
class TokenRow:
    """A token. It is valid while it is neither revoked nor expired, which the caller checks."""

    token_id: str
    tenant: str
    principal: str
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    #: It may have been used up to a minute later.
    last_used_at: int | None = None
    #: The current grants of its principal.
    grants: frozenset[Grant]


@frozen(kw_only=True)
class NewTokenRow:
    """A token to be created: its id, the hash of its text, and when it expires (None: never)."""

    token_id: str
    token_hash: bytes
    expires_at: int | None = None


@frozen(eq=False)
class Principals:
    """The principals of a database and their tokens."""

    _db: Database

    async def is_new(self) -> bool:
        """Tell whether the database has no tenant yet."""
        return not await self.tenants()

    async def tenants(self) -> list[str]:
        """Return all tenants by name."""
        return [row["tenant"] for row in await self._db.read("tenants")]

    async def bootstrap(self, token_hash: bytes, token_id: str, now: int) -> bool:
        """Give a new database its first tenant, and a principal with every grant; tell whether it was new."""

        def work(db: sqlite3.Connection) -> bool:
            if db.execute(QUERIES["tenants"]).fetchone() is not None:
                return False
            add_principal(db, FIRST_TENANT, FIRST_PRINCIPAL, EVERY_GRANT, now)
            token = NewTokenRow(token_id=token_id, token_hash=token_hash)
            _add_token(db, FIRST_TENANT, FIRST_PRINCIPAL, token, now)
            return True

        return await self._db.transact(work)

    async def create_token(
        self,
        tenant: str,
        principal: str,
        grants: Iterable[Grant],
        token: NewTokenRow,
        now: int,
        record: AuditRecord | None = None,
    ) -> TokenRow:
        """Create a token, also its tenant and principal unless they exist, and add ``grants``."""
        wanted = tuple(grants)

        def work(db: sqlite3.Connection) -> TokenRow:
            add_principal(db, tenant, principal, wanted, now)
            _add_token(db, tenant, principal, token, now)
            return _find(db, token.token_id, None)

        return await self._db.transact(work, record)

    async def add_token(
        self, tenant: str, principal: str, token: NewTokenRow, now: int, record: AuditRecord | None = None
    ) -> TokenRow:
        """Create a token of a principal that exists and has grants.

        Raises:
            PrincipalNotFound: there is no such principal, or it has no grants.
        """

        def work(db: sqlite3.Connection) -> TokenRow:
            if not db.execute(QUERIES["has_grants"], (tenant, principal)).fetchone()[0]:
                raise PrincipalNotFound
            _add_token(db, tenant, principal, token, now)
            return _find(db, token.token_id, None)

        return await self._db.transact(work, record)

    async def has_grants(self, tenant: str, principal: str) -> bool:
        """Tell whether a principal exists and has a grant."""
        row = await self._db.peek("has_grants", (tenant, principal))
        return row is not None and bool(row[0])

    async def find_token(self, token_hash: bytes) -> tuple[TokenRow, Principal] | None:
        """Return the token with this hash and its principal with current grants, valid or not."""
        row = await self._db.peek("token_by_hash", (token_hash,))
        if row is None or not hmac.compare_digest(row["hash"], token_hash):
            return None
        token = _token(row)
        return token, Principal(token.tenant, token.principal, token.grants)

    async def list_tokens(self, tenant: str | None = None) -> list[TokenRow]:
        """Return the tokens of a tenant, or all, oldest first."""
        return [_token(row) for row in await self._db.read("tokens", {"tenant": tenant})]

    async def record_use(self, at: Mapping[str, int]) -> None:
        """Store when tokens were last used, by their ids, in milliseconds."""
        rows = dumps(list(at.items())).decode()
        await self._db.transact(lambda db: db.execute(QUERIES["use_tokens"], {"rows": rows}))

    async def revoke(
        self, token_id: str, now: int, tenant: str | None = None, record: AuditRecord | None = None
    ) -> TokenRow:
        """Revoke a token; repeating that is no error. With ``tenant``, it must belong to that tenant.

        Raises:
            TokenNotFound: there is no such token.
        """

        def work(db: sqlite3.Connection) -> TokenRow:
            db.execute(QUERIES["revoke_token"], {"token_id": token_id, "now": now, "tenant": tenant})
            return _find(db, token_id, tenant)

        return await self._db.transact(work, record)


def add_principal(
    db: sqlite3.Connection, tenant: str, principal: str, grants: Iterable[Grant], now: int
) -> None:
    """Create a principal and its tenant unless they exist, and add grants, in the caller's transaction."""
    db.execute(QUERIES["add_tenant"], (tenant, now))
    db.execute(QUERIES["add_principal"], (tenant, principal, now))
    for grant in grants:
        db.execute(QUERIES["add_grant"], (tenant, principal, grant.action, grant.resource))


def _add_token(db: sqlite3.Connection, tenant: str, principal: str, token: NewTokenRow, now: int) -> None:
    values = {
        "token_id": token.token_id,
        "tenant": tenant,
        "principal": principal,
        "hash": token.token_hash,
        "now": now,
        "expires_at": token.expires_at,
    }
    db.execute(QUERIES["add_token"], values)


def _find(db: sqlite3.Connection, token_id: str, tenant: str | None) -> TokenRow:
    rows = fetch(db, "token_by_id", {"token_id": token_id, "tenant": tenant})
    if not rows:
        raise TokenNotFound(f"There is no token {token_id}.")
    return _token(rows[0])


def _token(row: sqlite3.Row) -> TokenRow:
    values = as_dict(row)
    del values["hash"]
    return TokenRow(**{**values, "grants": parse_grants(row["grants"])})


@lru_cache(maxsize=64)  # the same principals ask again and again
def parse_grants(text: str) -> frozenset[Grant]:
    """Return the grants of a JSON list, as statements return them."""
    return frozenset(map(parse_grant, loads(text)))
