"""Signing in by the code that the server printed, and out again."""

from __future__ import annotations

from attrs import frozen

from infraweave.api.http.routing import Answer, Call, NoQuery, Reply, Route
from infraweave.api.runs import presenters
from infraweave.api.runs.schemas import Time, said
from infraweave.core.access import make_token, token_hash
from infraweave.engine import clock
from infraweave.engine.access.sign_in_codes import no_such_code
from infraweave.engine.engine import Engine
from infraweave.errors import PrincipalNotFound, RateLimited, StorageUnavailable, Unauthenticated
from infraweave.store.principals import FIRST_PRINCIPAL, FIRST_TENANT, NewTokenRow, TokenRow

#: How long a token lives that a code was exchanged for, in milliseconds.
TOKEN_LIFE = 12 * 3_600_000
#: Bytes that the body of a sign-in may have.
_LONGEST = 4_096


@frozen(kw_only=True)
class SignIn:
    """A code to be exchanged."""

    code: str = said("The code that the server printed when it started.", minLength=1, maxLength=128)


@frozen(kw_only=True)
class SignedIn:
    """A new token, told this once, and whom it speaks for."""

    token: str
    tenant: str
    principal: str
    grants: tuple[str, ...]
    expires_at: Time


@frozen(eq=False)
class SignInRoutes:
    """The handlers of signing in and out."""

    _engine: Engine

    async def sign_in(self, call: Call[NoQuery, SignIn]) -> Answer:
        """Exchange a code for a new token of the first principal."""
        codes, code = self._engine.sign_in, call.body.code
        good_until = codes.redeem(code)
        text = make_token(clock.token_secret())
        try:
            row = await self._new_token(call, text)
        except StorageUnavailable:
            codes.restore(code, good_until)
            raise
        signed_in = SignedIn(
            token=text,
            tenant=row.tenant,
            principal=row.principal,
            grants=presenters.grants(row.grants),
            expires_at=presenters.time(row.expires_at) or "",
        )
        return Answer(signed_in)

    async def _new_token(self, call: Call[NoQuery, SignIn], text: str) -> TokenRow:
        now, record = self._engine.clock.now(), call.record
        token = NewTokenRow(
            token_id=f"tok_{clock.ulid(now)}", token_hash=token_hash(text), expires_at=now + TOKEN_LIFE
        )
        record.tenant, record.principal, record.token_id = FIRST_TENANT, FIRST_PRINCIPAL, token.token_id
        record.resource = f"token:{token.token_id}"
        try:
            return await self._engine.principals.add_token(FIRST_TENANT, FIRST_PRINCIPAL, token, now, record)
        except PrincipalNotFound:
            raise no_such_code() from None

    async def sign_out(self, call: Call[NoQuery, None]) -> Answer:
        """End the life of the token that asks; its open streams end."""
        call.record.resource = f"token:{call.caller.token_id}"
        now = self._engine.clock.now()
        await self._engine.principals.revoke(call.caller.token_id, now, record=call.record)
        self._engine.revocation.notify()
        return Answer(None, 204)


def sign_in_routes(routes: SignInRoutes) -> list[Route]:
    """Return the routes of signing in and out."""
    return [
        Route(
            name="sign_in",
            method="POST",
            path="/v1/sign-in",
            handler=routes.sign_in,
            summary="Exchange the code that the server printed for a token of 12 hours",
            on="public",
            body=SignIn,
            max_body=_LONGEST,
            replies={200: Reply(doc="The token, told this once.", shape=SignedIn)},
            errors=(Unauthenticated, RateLimited, StorageUnavailable),
        ),
        Route(
            name="sign_out",
            method="POST",
            path="/v1/sign-out",
            handler=routes.sign_out,
            summary="Revoke the token that asks",
            on="own",
            replies={204: Reply(doc="It is revoked.")},
            errors=(StorageUnavailable,),
        ),
    ]
