"""Cursors: opaque, and valid only for the list that issued them.

A cursor contains a position in the order of the whole file, which clients must not learn. It is masked, and
signed together with the tenant and the query. The page size may change between pages.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, urlsafe_b64encode
from typing import Any

from attrs import Factory, asdict, field

from infraweave.api.http.routing import ApiRequest
from infraweave.core.records import define
from infraweave.engine.engine import Engine
from infraweave.errors import InvalidCursor
from infraweave.store.keys import Keys

#: Bytes of the signature and of the position.
_SIGNATURE, _POSITION = 16, 8
#: Characters of a cursor.
_LENGTH = 32
#: Parameters that may change between pages.
_FREE = {"cursor", "limit"}


@define(eq=False)
class Cursors:
    """The cursors of one server."""

    _engine: Engine
    #: The key in the file, once it is read.
    _key: bytes | None = None

    @classmethod
    def field(cls) -> Any:
        """Return an attrs field with the cursors of the object's ``_engine``."""
        return field(init=False, default=Factory(lambda self: cls(self._engine), takes_self=True))

    async def issue(self, kind: str, request: ApiRequest[Any, Any], position: int | None) -> str | None:
        """Return the cursor of the page after a position; None without a next page."""
        if position is None:
            return None
        key = await self._of_file()
        signature = _signature(key, kind, request, position)
        masked = position ^ _mask(key, signature)
        return urlsafe_b64encode(signature + masked.to_bytes(_POSITION, "big")).decode()

    async def read(self, kind: str, request: ApiRequest[Any, Any]) -> int | None:
        """Return the position of the cursor in a request; None without a cursor.

        Raises:
            InvalidCursor: this list did not issue it.
        """
        text = request.query.cursor
        if text is None:
            return None
        try:
            raw = b64decode(text, altchars="-_", validate=True)
        except ValueError:
            raise InvalidCursor from None
        key, signature = await self._of_file(), raw[:_SIGNATURE]
        position = int.from_bytes(raw[_SIGNATURE:], "big") ^ _mask(key, signature)
        is_ours = len(text) == _LENGTH and len(raw) == _SIGNATURE + _POSITION and position < 2**63
        if not is_ours or not hmac.compare_digest(signature, _signature(key, kind, request, position)):
            raise InvalidCursor
        return position

    async def _of_file(self) -> bytes:
        if self._key is None:
            self._key = await Keys(self._engine.db).get("cursors")
        return self._key


def _signature(key: bytes, kind: str, request: ApiRequest[Any, Any], position: int) -> bytes:
    query = {name: value for name, value in asdict(request.query, recurse=False).items() if name not in _FREE}
    signed = (kind, request.principal.tenant, sorted(request.path.items()), sorted(query.items()), position)
    return hmac.new(key, repr(signed).encode(), hashlib.sha256).digest()[:_SIGNATURE]


def _mask(key: bytes, signature: bytes) -> int:
    return int.from_bytes(hmac.new(key, b"mask" + signature, hashlib.sha256).digest()[:_POSITION], "big")
