"""Tokens: make, list, revoke. An admin's grant is on all tenants, so an admin sees the tokens of all."""

from __future__ import annotations

from attrs import frozen

from infraweave.api.http.routing import Answer, Call, NoQuery
from infraweave.api.runs import presenters, schemas
from infraweave.core.access import Grant, make_token, parse_grant, token_hash
from infraweave.core.data.values import to_seconds
from infraweave.engine import clock
from infraweave.engine.engine import Engine
from infraweave.errors import Fault, MalformedRequest
from infraweave.store.principals import NewTokenRow


@frozen(eq=False)
class TokenRoutes:
    """The handlers of tokens."""

    _engine: Engine

    async def create(self, call: Call[NoQuery, schemas.CreateToken]) -> Answer:
        """Make a token, and its tenant and principal where they are new; it is told this once."""
        body, now = call.body, self._engine.clock.now()
        grants = read_grants(body.grants)
        life = _life(body.expires)
        text = make_token(clock.token_secret())
        new = NewTokenRow(
            token_id=f"tok_{clock.ulid(now)}",
            token_hash=token_hash(text),
            expires_at=None if life is None else now + life,
        )
        record = call.record
        record.resource, record.detail = f"token:{new.token_id}", f"for {body.tenant}/{body.principal}"
        row = await self._engine.principals.create_token(
            body.tenant, body.principal, grants, new, now, record
        )
        await self._engine.catalog.publish_loaded(body.tenant)
        answer = schemas.NewToken(
            token=text,
            token_id=row.token_id,
            tenant=row.tenant,
            principal=row.principal,
            grants=presenters.grants(row.grants),
            expires_at=presenters.time(row.expires_at),
        )
        return Answer(answer, 201)

    async def list(self, call: Call[NoQuery, None]) -> Answer:  # noqa: ARG002 - every handler takes a call
        """List all tokens, without what makes them work."""
        await self._engine.audit_buffer.flush()
        rows = await self._engine.principals.list_tokens()
        return Answer(schemas.TokenList(tokens=tuple(map(presenters.token, rows))))

    async def revoke(self, call: Call[NoQuery, None]) -> Answer:
        """End a token's life; its next request is refused, and its open streams end."""
        now = self._engine.clock.now()
        row = await self._engine.principals.revoke(call.path["token_id"], now, record=call.record)
        self._engine.revocation.notify()
        return Answer(presenters.token(row))


def read_grants(texts: tuple[str, ...]) -> list[Grant]:
    """Return the grants of a body.

    Raises:
        MalformedRequest: one does not parse; the details name each.
    """
    grants, faults = [], []
    for place, text in enumerate(texts):
        try:
            grants.append(parse_grant(text))
        except ValueError as error:
            faults.append(Fault(f"/grants/{place}", str(error)))
    if faults:
        raise MalformedRequest(f"The grants do not parse: {faults[0].message}.", details=faults)
    return grants


def _life(expires: str | None) -> int | None:
    """Return milliseconds, or None for ever."""
    if expires is None:
        return None
    try:
        return round(to_seconds(expires) * 1000)
    except ValueError as error:
        raise MalformedRequest(f"expires: {error}.", details=[Fault("/expires", str(error))]) from error
