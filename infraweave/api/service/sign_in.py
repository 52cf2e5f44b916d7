"""Handlers of signing in with the code that the server printed, and of signing out."""

from __future__ import annotations

from infraweave.api.http.fields import present
from infraweave.api.http.routing import ApiRequest, ApiResponse, NoQuery
from infraweave.api.service.schemas import SignedIn, SignIn
from infraweave.core.access import FIRST_PRINCIPAL, FIRST_TENANT, make_token, token_hash
from infraweave.core.lazy_records import frozen
from infraweave.engine import clock
from infraweave.engine.access.sign_in_codes import invalid_code
from infraweave.engine.engine import Engine
from infraweave.errors import PrincipalNotFound, StorageUnavailable
from infraweave.store.principals import NewTokenRow, TokenRow

#: The lifetime of a token from a sign-in, in milliseconds.
TOKEN_LIFE = 12 * 3_600_000


@frozen(eq=False)
class SignInHandlers:
    """The handlers of signing in and out."""

    _engine: Engine

    async def sign_in(self, request: ApiRequest[NoQuery, SignIn]) -> ApiResponse:
        """Exchange the code that the server printed for a token of 12 hours."""
        codes, code = self._engine.sign_in, request.body.code
        good_until = codes.redeem(code)
        text = make_token(clock.token_secret())
        try:
            row = await self._new_token(request, text)
        except StorageUnavailable:
            codes.restore(code, good_until)
            raise
        return ApiResponse(present(SignedIn, row, token=text))

    async def _new_token(self, request: ApiRequest[NoQuery, SignIn], text: str) -> TokenRow:
        now, record = self._engine.clock.now(), request.record
        token = NewTokenRow(
            token_id=f"tok_{clock.ulid(now)}", token_hash=token_hash(text), expires_at=now + TOKEN_LIFE
        )
        record.tenant, record.principal, record.token_id = FIRST_TENANT, FIRST_PRINCIPAL, token.token_id
        record.resource = f"token:{token.token_id}"
        try:
            return await self._engine.principals.add_token(FIRST_TENANT, FIRST_PRINCIPAL, token, now, record)
        except PrincipalNotFound:
            raise invalid_code() from None

    async def sign_out(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Revoke the token of the request; its open streams end."""
        request.record.resource = f"token:{request.caller.token_id}"
        now = self._engine.clock.now()
        await self._engine.principals.revoke(request.caller.token_id, now, record=request.record)
        self._engine.revocation.notify()
        return ApiResponse(None, 204)
