"""Sends the requests of http nodes with httpcore, within the outbound policy and a size limit.

For each connection a host name is resolved once, all its addresses are checked, and the connection goes to
one of them; the Host header and the certificate check use the name. Proxies, netrc, cookies and anything else
from the environment are not used.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, TypeAlias

import httpcore
import httpx
from attrs import evolve

from infraweave.core.records import frozen
from infraweave.core.workflow.http_request import RenderedRequest
from infraweave.core.workflow.secret_refs import format_origin
from infraweave.engine.execution.outbound_policy import OutboundPolicy, OutboundRefused

Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]

#: Seconds to connect to one address, so that another can be tried within the attempt's time.
CONNECT_TIMEOUT = 10.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Headers that are kept in a redirect to another origin; others may be secret.
_HARMLESS = re.compile(
    "accept|accept-language|content-type|user-agent|idempotency-key|traceparent|tracestate"
)
_DEFAULT_HEADERS = {"accept": "application/json, text/*;q=0.9, */*;q=0.8", "user-agent": "InfraWeave"}
#: Errors of the network, which another attempt may not meet.
NETWORK_ERRORS = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError)


class ResponseTooLarge(Exception):
    """The body of the response is larger than the request allows."""


class ResponseUnreadable(Exception):
    """The body of the response has an encoding that was not requested."""


@frozen
class HttpResponse:
    """A response. Names of ``headers`` are in lower case; headers of the same name are joined."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    #: The host that sent it, after redirects.
    host: str

    @property
    def content_type(self) -> str:
        """The Content-Type header; empty if there is none."""
        return self.headers.get("content-type", "")


async def resolve_host(host: str, port: int) -> list[str]:
    """Return the addresses of a host.

    Raises:
        OSError: the name cannot be looked up.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # from Python's encoding of the name
        raise OSError(f"the name cannot be looked up: {error}") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@cache
def _trusted(more: str | None) -> ssl.SSLContext:
    """Return a TLS context that trusts public certificates and those of a file; cached, it takes 20 ms."""
    context = httpx.create_ssl_context(trust_env=False)
    if more is not None:
        context.load_verify_locations(cafile=more)
    return context


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Opens connections to addresses that the outbound policy allows."""

    def __init__(
        self, policy: OutboundPolicy, resolve: Resolve, network: httpcore.AsyncNetworkBackend
    ) -> None:
        self._policy, self._resolve, self._network = policy, resolve, network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of a host that accepts the connection.

        Raises:
            OutboundRefused: the policy does not allow one of its addresses.
        """
        addresses = self._policy.check(host, port, await self._resolve(host, port))
        trouble: Exception = httpcore.ConnectError("the name has no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                trouble = error
        raise trouble

    async def sleep(self, seconds: float) -> None:
        """Wait for a number of seconds."""
        await self._network.sleep(seconds)


class HttpSender:
    """Sends requests, and keeps idle connections open for a few seconds."""

    def __init__(
        self,
        policy: OutboundPolicy,
        *,
        resolve: Resolve = resolve_host,
        network: httpcore.AsyncNetworkBackend | None = None,
        max_connections: int = 200,
        ca: str | None = None,
    ) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_trusted(ca),
            max_connections=max_connections,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=_CheckedNetwork(policy, resolve, network or httpcore.AnyIOBackend()),
        )

    async def send(self, request: RenderedRequest, *, redirects: int = 0, max_bytes: int) -> HttpResponse:
        """Return the response, after at max_bytes ``redirects`` redirects.

        Raises:
            OutboundRefused: the outbound policy does not allow it.
            ResponseTooLarge, ResponseUnreadable: the body cannot be used.
            httpcore.NetworkError and others of ``NETWORK_ERRORS``: no complete response arrived.
        """
        while True:
            async with self._sent(request) as (url, response):
                headers = _headers(response.headers)
                following = _redirected(request, url, response.status, headers) if redirects else None
                if following is None:
                    body = await _body(response, headers, max_bytes)
                    return HttpResponse(response.status, headers, body, url.host)
            request, redirects = following, redirects - 1

    @asynccontextmanager
    async def _sent(self, request: RenderedRequest) -> AsyncIterator[tuple[httpx.URL, httpcore.Response]]:
        url = _read(lambda: httpx.URL(request.url), "the url")
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            raise OutboundRefused("only http and https urls without credentials are called")
        target_origin = format_origin(url.scheme, url.raw_host.decode(), url.port)
        if request.origins is not None and target_origin not in request.origins:
            where = (
                "this url"
                if request.secret_host
                else f"{target_origin}; `--secret NAME@{target_origin}` lets it go there"
            )
            raise OutboundRefused(f"a secret of this request may not be sent to {where}")
        headers = {**_DEFAULT_HEADERS, "accept-encoding": "identity", **request.headers}
        if request.body is not None:
            headers["content-length"] = str(len(request.body))
        elif request.method in ("POST", "PUT", "PATCH"):
            headers["content-length"] = "0"
        sent = [(b"host", url.netloc)]
        sent += [(name.encode(), text.encode("latin-1")) for name, text in headers.items()]
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        async with self._pool.stream(
            request.method,
            target,
            headers=sent,
            content=request.body,
            extensions={"timeout": {"connect": CONNECT_TIMEOUT}},
        ) as response:
            yield url, response

    async def close(self) -> None:
        """Close the connections that are kept open."""
        await self._pool.aclose()


def _read(read: Callable[[], httpx.URL], what: str) -> httpx.URL:
    """Return a valid url.

    Raises:
        OutboundRefused: it is not valid.
    """
    try:
        url = read()
        url.host  # noqa: B018 - raises for an invalid ``xn--`` label
    except (httpx.InvalidURL, UnicodeError) as error:
        raise OutboundRefused(f"{what} cannot be read") from error
    return url


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers as text, without cookies, which are secret."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        if key != "set-cookie":
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _redirected(
    request: RenderedRequest, url: httpx.URL, status: int, headers: Mapping[str, str]
) -> RenderedRequest | None:
    if status not in _REDIRECTS or "location" not in headers:
        return None
    target = _read(lambda: url.join(headers["location"]).copy_with(fragment=None), "the redirect's Location")
    rewritten = request.method == "POST" and status in (301, 302)
    if rewritten or (status == 303 and request.method != "HEAD"):
        kept = {name: text for name, text in request.headers.items() if name != "content-type"}
        request = evolve(request, method="GET", headers=kept, body=None, secret_body=False)
    if (url.scheme, url.host, url.port) == (target.scheme, target.host, target.port):
        return evolve(request, url=str(target))
    harmless = {name for name in request.headers if _HARMLESS.fullmatch(name)} - request.secret_headers
    kept = {name: text for name, text in request.headers.items() if name in harmless}
    # Its secrets are dropped, except those in a body that is kept.
    bound = request.origins if request.secret_body else None
    return evolve(request, url=str(target), headers=kept, origins=bound)


async def _body(response: httpcore.Response, headers: Mapping[str, str], max_bytes: int) -> bytes:
    encoding = headers.get("content-encoding", "").lower()
    gzip = _Gzip(encoding) if encoding not in ("", "identity") else None
    body = bytearray()
    async for chunk in response.aiter_stream():
        body += gzip.decompress(chunk, max_bytes + 1 - len(body)) if gzip else chunk
        if len(body) > max_bytes:
            raise ResponseTooLarge
    if gzip and body:
        gzip.end()
    return bytes(body)


class _Gzip:
    """Decompresses bodies that some servers compress without being asked, up to a size limit."""

    def __init__(self, encoding: str) -> None:
        if encoding not in ("gzip", "x-gzip", "deflate"):
            raise ResponseUnreadable(f"the body is encoded as {encoding[:40]}, which was not asked for")
        self._encoding, self._stream = encoding, zlib.decompressobj(zlib.MAX_WBITS | 32)

    def decompress(self, chunk: bytes, max_bytes: int) -> bytes:
        """Return at max_bytes ``max_bytes`` bytes of the content of a chunk."""
        try:
            return self._stream.decompress(chunk, max_bytes)
        except zlib.error as error:
            raise ResponseUnreadable(f"the body is not valid {self._encoding}: {error}") from error

    def end(self) -> None:
        """Check that the body is complete."""
        if not self._stream.eof:
            raise ResponseUnreadable(f"the {self._encoding} body is incomplete")
