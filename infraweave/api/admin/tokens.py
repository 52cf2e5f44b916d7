"""Handlers of tokens: create, list, revoke. An admin sees the tokens of all tenants."""

from __future__ import annotations

from infraweave.api.admin import schemas
from infraweave.api.http.fields import present
from infraweave.api.http.routing import ApiRequest, ApiResponse, NoQuery
from infraweave.core.access import Grant, make_token, parse_grant, token_hash
from infraweave.core.data.values import to_seconds
from infraweave.core.lazy_records import frozen
from infraweave.engine import clock
from infraweave.engine.engine import Engine
from infraweave.errors import Fault, MalformedRequest
from infraweave.store.principals import NewTokenRow


@frozen(eq=False)
class TokenHandlers:
    """The handlers of tokens."""

    _engine: Engine

    async def create(self, request: ApiRequest[NoQuery, schemas.CreateToken]) -> ApiResponse:
        """Create a token, and its tenant and principal if they are new. The token is shown only once."""
        body, now = request.body, self._engine.clock.now()
        grants = read_grants(body.grants)
        life = _life(body.expires)
        text = make_token(clock.token_secret())
        new = NewTokenRow(
            token_id=f"tok_{clock.ulid(now)}",
            token_hash=token_hash(text),
            expires_at=None if life is None else now + life,
        )
        record = request.record
        record.resource, record.detail = f"token:{new.token_id}", f"for {body.tenant}/{body.principal}"
        row = await self._engine.principals.create_token(
            body.tenant, body.principal, grants, new, now, record
        )
        await self._engine.catalog.publish_loaded(body.tenant)
        return ApiResponse(present(schemas.NewToken, row, token=text), 201)

    async def list(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """List all tokens, without the text that authenticates."""
        await self._engine.audit_buffer.flush()
        rows = await self._engine.principals.list_tokens()
        return ApiResponse(schemas.TokenList(tokens=tuple(present(schemas.Token, row) for row in rows)))

    async def revoke(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Revoke a token. Its next request is refused and its open streams end."""
        now = self._engine.clock.now()
        row = await self._engine.principals.revoke(request.path["token_id"], now, record=request.record)
        self._engine.revocation.notify()
        return ApiResponse(present(schemas.Token, row))


def read_grants(texts: tuple[str, ...]) -> list[Grant]:
    """Return the grants of a body.

    Raises:
        MalformedRequest: a grant does not parse; the details name each.
    """
    grants, faults = [], []
    for place, text in enumerate(texts):
        try:
            grants.append(parse_grant(text))
        except ValueError as error:
            faults.append(Fault(f"/grants/{place}", "grant", str(error)))
    if faults:
        raise MalformedRequest(f"The grants do not parse: {faults[0].message}.", details=faults)
    return grants


def _life(expires: str | None) -> int | None:
    """Return milliseconds; None: no expiry."""
    if expires is None:
        return None
    try:
        return round(to_seconds(expires) * 1000)
    except ValueError as error:
        raise MalformedRequest(
            f"expires: {error}.", details=[Fault("/expires", "format", str(error))]
        ) from error
