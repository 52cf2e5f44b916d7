"""Cursors: opaque, and good for the list that gave them alone.

A cursor is a place in an order of the whole file, which is nobody's business: it is masked, and signed
together with the tenant and the query that it goes on with. The page size may be another.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, urlsafe_b64encode
from typing import Any

from attrs import asdict, define

from infraweave.api.http.routing import Call
from infraweave.engine.engine import Engine
from infraweave.errors import InvalidCursor
from infraweave.store.keys import Keys

#: Bytes of the signature and of the place.
_SIGNATURE, _PLACE = 16, 8
#: Characters of a cursor.
_LENGTH = 32
#: Parameters with which the next page may differ.
_FREE = {"cursor", "limit"}


@define(eq=False)
class Cursors:
    """The cursors of one server."""

    _engine: Engine
    #: The file's key, once it has been read.
    _key: bytes | None = None

    async def give(self, kind: str, call: Call[Any, Any], place: int) -> str:
        """Return the cursor of what follows a place of the list that a call has asked for."""
        key = await self._of_file()
        signature = _signature(key, kind, call, place)
        masked = place ^ _mask(key, signature)
        return urlsafe_b64encode(signature + masked.to_bytes(_PLACE, "big")).decode()

    async def read(self, kind: str, call: Call[Any, Any]) -> int | None:
        """Return the place that the cursor of a call stands for; None where it has none.

        Raises:
            InvalidCursor: it is none that this list has given.
        """
        text = call.query.cursor
        if text is None:
            return None
        try:
            raw = b64decode(text, altchars="-_", validate=True)
        except ValueError:
            raise InvalidCursor from None
        key, signature = await self._of_file(), raw[:_SIGNATURE]
        place = int.from_bytes(raw[_SIGNATURE:], "big") ^ _mask(key, signature)
        is_ours = len(text) == _LENGTH and len(raw) == _SIGNATURE + _PLACE and place < 2**63
        if not is_ours or not hmac.compare_digest(signature, _signature(key, kind, call, place)):
            raise InvalidCursor
        return place

    async def _of_file(self) -> bytes:
        if self._key is None:
            self._key = await Keys(self._engine.db).get("cursors")
        return self._key


def _signature(key: bytes, kind: str, call: Call[Any, Any], place: int) -> bytes:
    asked = {name: value for name, value in asdict(call.query, recurse=False).items() if name not in _FREE}
    said = (kind, call.principal.tenant, sorted(call.path.items()), sorted(asked.items()), place)
    return hmac.new(key, repr(said).encode(), hashlib.sha256).digest()[:_SIGNATURE]


def _mask(key: bytes, signature: bytes) -> int:
    return int.from_bytes(hmac.new(key, b"mask" + signature, hashlib.sha256).digest()[:_PLACE], "big")
