"""The head of a request, read once. Everything that looks at a request looks here.

Names of headers are compared in lower case. Their values are text in Latin-1, as RFC 9110 (5.5) has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, overload
from urllib.parse import parse_qsl

from werkzeug.datastructures import MultiDict

from infraweave.core.data.redact import redact

_OWN_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_NONE: Sequence[bytes] = ()


class HeaderValues:
    """The headers of a request, by name in any case."""

    __slots__ = ("_values",)

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        values: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            values.setdefault(name.lower(), []).append(value)
        self._values = values

    def raw(self, name: bytes) -> Sequence[bytes]:
        """Return the values of a header, whose name is given in lower case."""
        return self._values.get(name, _NONE)

    def getlist(self, name: str) -> list[str]:
        """Return the values of a header in their order."""
        return [value.decode("latin-1") for value in self._values.get(name.lower().encode(), _NONE)]

    @overload
    def get(self, name: str) -> str | None: ...

    @overload
    def get(self, name: str, default: str) -> str: ...

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a header."""
        values = self._values.get(name.lower().encode())
        return values[0].decode("latin-1") if values else default

    def __contains__(self, name: str) -> bool:
        return name.lower().encode() in self._values

    def names(self) -> Iterator[str]:
        """Yield the names of all headers in lower case."""
        return (name.decode("latin-1") for name in self._values)


class RequestHead:
    """Everything of a request but its body. ``new_id`` makes an id for a request that brings none."""

    __slots__ = (
        "headers",
        "http_version",
        "is_plain",
        "method",
        "path",
        "query_string",
        "request_id",
        "root",
        "server",
    )

    def __init__(self, scope: Mapping[str, Any], new_id: Callable[[], str]) -> None:
        self.headers = HeaderValues(scope["headers"])
        self.request_id = own_id(self.headers.raw(b"x-request-id")) or new_id()
        self.method: str = scope.get("method", "")
        self.http_version: str = scope.get("http_version", "-")
        self.query_string: bytes = scope.get("query_string", b"")
        self.server: tuple[str, int | None] | None = scope.get("server")
        path, root = scope["path"], scope.get("root_path", "")
        #: The path where the app is mounted, without a slash at its end; "" at the top.
        self.root: str = root.rstrip("/")
        #: The path of the request below the root.
        self.path: str = path.removeprefix(root)
        #: False: Quart reads the path or the query in a way of its own, for example a path with a host.
        self.is_plain = (
            path.startswith(root)
            and self.path.startswith("/")
            and not self.path.startswith("//")
            and self.query_string.isascii()
        )

    @property
    def content_length(self) -> int:
        """The Content-Length; 0 without one."""
        lengths = self.headers.raw(b"content-length")
        return int(lengths[0]) if lengths and lengths[0].isdigit() else 0

    @property
    def may_have_body(self) -> bool:
        """False only if no body can follow. HTTP/2 does not announce one in the head."""
        announces = self.headers.raw(b"transfer-encoding") or self.headers.raw(b"content-length") not in (
            _NONE,
            [b"0"],
        )
        return bool(announces) or not self.http_version.startswith("1")

    def query(self) -> Iterable[tuple[str, str]]:
        """Return the query parameters. Values of one name stand together."""
        if not self.query_string:
            return ()
        # As Werkzeug reads them: bytes that are not UTF-8 stay percent-encoded.
        pairs = parse_qsl(self.query_string.decode(), keep_blank_values=True, errors="werkzeug.url_quote")
        return MultiDict(pairs).items(multi=True)


def own_id(values: Sequence[bytes]) -> str | None:
    """Return the X-Request-Id of the caller, if it has exactly one and a valid one."""
    if len(values) != 1 or not _OWN_ID.fullmatch(values[0]):
        return None
    own = values[0].decode()
    return own if redact(own) == own else None  # a token must not appear in logs
