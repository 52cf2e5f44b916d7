"""Protection of browsers: the Host check, CORS and security headers.

A page on the internet can make its own name resolve to this machine (DNS rebinding) and then talk to the
server. So a request must name a host of this server. Pages of other origins can read nothing unless their
exact origin is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_address

from infraweave.api.http.request_head import RequestHead
from infraweave.core.data.redact import one_line
from infraweave.errors import MisdirectedRequest

Headers = list[tuple[bytes, bytes]]

#: On every response that does not set them itself.
SECURITY: Mapping[bytes, bytes] = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
}
_METHODS = b"GET, POST, PUT, DELETE"
_REQUEST_HEADERS = (
    b"Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Prefer, traceparent, tracestate,"
    b" X-Infraweave-Trigger, X-Request-Id"
)
_RESPONSE_HEADERS = (
    b"Idempotent-Replayed, Location, Preference-Applied, Retry-After, WWW-Authenticate, X-Request-Id"
)
#: Seconds for which browsers may cache a preflight.
_MAX_AGE = b"600"
#: A name of labels with an optional dot at the end, or an IPv6 address; and an optional port.
_HOST = re.compile(
    r"(?:(?P<name>[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*)\.?"
    r"|\[(?P<address>[0-9A-Fa-f:.]{2,45})\])(?::(?P<port>[0-9]{1,5}))?"
)
_LAST_PORT = 65_535
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")


def host_name(text: str) -> str:
    """Return the host of an option, without its port, in lower case."""
    host = text.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host if host.count(":") > 1 else host.partition(":")[0].rstrip(".")


@lru_cache(maxsize=64)  # each client sends the same name each time
def named_host(text: str) -> str | None:
    """Return the host in a Host header, in lower case; None if it is not a host with an optional port."""
    found = _HOST.fullmatch(text)
    if found is None or int(found["port"] or 0) > _LAST_PORT:
        return None
    return (found["name"] or found["address"]).lower()


@lru_cache(maxsize=64)
def _is_loopback(host: str) -> bool | None:
    """Tell whether a host is an address of this machine alone; None if it is no address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return None


def check_origin(text: str) -> str:
    """Return an origin, spelled as browsers send it.

    Raises:
        ValueError: it is not a valid origin; a star is not.
    """
    if not _ORIGIN.fullmatch(text):
        raise ValueError(
            f"{text!r} is not a valid origin; expected https://console.example.com, without a path"
        )
    return text


class BrowserSecurity:
    """The rules of one server. ``hosts`` None: the program that mounts the app checks the host."""

    def __init__(self, hosts: Iterable[str] | None, origins: Iterable[str]) -> None:
        self._hosts = None if hosts is None else {host_name(host) for host in hosts}
        self._origins = {origin.encode() for origin in origins}

    def check_host(self, head: RequestHead) -> None:
        """Check that a request names this server.

        Raises:
            MisdirectedRequest: it names no host, another one, or several.
        """
        if self._hosts is None:
            return
        named = head.headers.raw(b"host") or head.headers.raw(b":authority")
        text = named[0].decode("latin-1").strip() if len(named) == 1 else ""
        host = named_host(text)
        if host is None or not self._is_ours(host, head):
            name = one_line(text, 100) or "no host"
            raise MisdirectedRequest(
                f"This server does not answer as {name}; `--allow-host` lets it answer to more names."
            )

    def _is_ours(self, host: str, head: RequestHead) -> bool:
        if host == "localhost" or host in (self._hosts or ()):
            return True
        # An address cannot be rebound. The local address of the connection is ours.
        is_loopback = _is_loopback(host)
        return is_loopback is not None and (is_loopback or host == (head.server or ("",))[0])

    def preflight(self, head: RequestHead) -> Headers | None:
        """Return the headers for a preflight of an allowed origin; None for any other request."""
        asks = head.method == "OPTIONS" and head.headers.raw(b"access-control-request-method")
        if not asks or self._origin(head) is None:
            return None
        return [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _REQUEST_HEADERS),
            (b"access-control-max-age", _MAX_AGE),
        ]

    def cors_headers(self, head: RequestHead) -> Headers:
        """Return the headers that let a page of an allowed origin read a response."""
        if not self._origins:
            return []
        origin = self._origin(head)
        if origin is None:
            return [(b"vary", b"Origin")]
        shown = [(b"access-control-expose-headers", _RESPONSE_HEADERS)] if head.method != "OPTIONS" else []
        return [(b"vary", b"Origin"), (b"access-control-allow-origin", origin), *shown]

    def _origin(self, head: RequestHead) -> bytes | None:
        origins = head.headers.raw(b"origin")
        return origins[0] if len(origins) == 1 and origins[0] in self._origins else None


def missing_security_headers(headers: Headers) -> Headers:
    """Return the security headers that a response lacks."""
    there = {name.lower() for name, _ in headers}
    return [(name, value) for name, value in SECURITY.items() if name not in there]
