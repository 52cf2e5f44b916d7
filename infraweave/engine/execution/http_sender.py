"""Sends the requests of http nodes: guarded, bounded, and without anything from the environment.

Below is httpcore, whose connections are made through ``GuardedNetwork``: a name is resolved once for each
connection, every address judged, and the connection made to one of them, while the Host header and the
certificate check stay with the name. Proxies, netrc and cookies do not exist here.
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
from attrs import evolve, frozen

from infraweave.core.workflow.http_request import RenderedRequest
from infraweave.core.workflow.secret_refs import format_origin
from infraweave.engine.execution.outbound_policy import OutboundPolicy, OutboundRefused

Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]

#: Seconds for one address to answer at all, so that a second one gets its turn within the attempt's time.
CONNECT = 10.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: What may follow a redirect to another origin; everything else may be a secret.
_HARMLESS = re.compile(
    "accept|accept-language|content-type|user-agent|idempotency-key|traceparent|tracestate"
)
_ANSWERS = {"accept": "application/json, text/*;q=0.9, */*;q=0.8", "user-agent": "InfraWeave"}
#: What goes wrong on the way, and may go well another time.
NETWORK_ERRORS = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError)


class ResponseTooLarge(Exception):
    """The response's body is larger than the request allows."""


class ResponseUnreadable(Exception):
    """The response's body is encoded in a way that was not asked for."""


@frozen
class HttpResponse:
    """A response. Names of ``headers`` in lower case; several of one name are joined."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    #: The host that gave it, which redirects may have changed.
    host: str

    @property
    def content_type(self) -> str:
        """What the body is; empty where that is not said."""
        return self.headers.get("content-type", "")


async def resolve_host(host: str, port: int) -> list[str]:
    """Return the addresses that the system knows for a host."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # Python's own encoding of names
        raise OSError(f"the name cannot be looked up: {error}") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@cache
def _trusted(more: str | None) -> ssl.SSLContext:
    """Read the certificates to trust, the public ones and those of a file, once: that takes 20 ms."""
    context = httpx.create_ssl_context(trust_env=False)
    if more is not None:
        context.load_verify_locations(cafile=more)
    return context


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Opens connections to addresses that the guard has judged."""

    def __init__(
        self, guard: OutboundPolicy, resolve: Resolve, network: httpcore.AsyncNetworkBackend
    ) -> None:
        self._guard, self._resolve, self._network = guard, resolve, network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of a host that answers.

        Raises:
            OutboundRefused: one of its addresses may not be called.
        """
        addresses = self._guard.check(host, port, await self._resolve(host, port))
        trouble: Exception = httpcore.ConnectError("the name has no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                trouble = error
        raise trouble

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._network.sleep(seconds)


class HttpSender:
    """Sends requests; keeps a few connections open between them."""

    def __init__(
        self,
        guard: OutboundPolicy,
        *,
        resolve: Resolve = resolve_host,
        network: httpcore.AsyncNetworkBackend | None = None,
        at_once: int = 200,
        ca: str | None = None,
    ) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_trusted(ca),
            max_connections=at_once,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=GuardedNetwork(guard, resolve, network or httpcore.AnyIOBackend()),
        )

    async def send(self, request: RenderedRequest, *, redirects: int = 0, max_bytes: int) -> HttpResponse:
        """Return the response, after at most so many redirects.

        Raises:
            OutboundRefused: the guard lets nothing out there.
            ResponseTooLarge, ResponseUnreadable: the body cannot be taken.
            httpcore.NetworkError and its kin (``NETWORK_ERRORS``): nothing came, or not all of it.
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
        going = format_origin(url.scheme, url.raw_host.decode(), url.port)
        if request.origins is not None and going not in request.origins:
            where = (
                "this url" if request.secret_host else f"{going}; `--secret NAME@{going}` lets it go there"
            )
            raise OutboundRefused(f"a secret of this request may not be sent to {where}")
        headers = {**_ANSWERS, "accept-encoding": "identity", **request.headers}
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
            extensions={"timeout": {"connect": CONNECT}},
        ) as response:
            yield url, response

    async def close(self) -> None:
        """Close the connections that are kept open."""
        await self._pool.aclose()


def _read(read: Callable[[], httpx.URL], what: str) -> httpx.URL:
    """Return an url whose host can be spelled both ways.

    Raises:
        OutboundRefused: it cannot be read.
    """
    try:
        url = read()
        url.host  # noqa: B018 - an ``xn--`` that encodes nothing is found out here
    except (httpx.InvalidURL, UnicodeError) as error:
        raise OutboundRefused(f"{what} cannot be read") from error
    return url


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers as text; cookies, which are secrets, are left out."""
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
    # Its secrets stay behind, but for those of a body that goes along.
    bound = request.origins if request.secret_body else None
    return evolve(request, url=str(target), headers=kept, origins=bound)


async def _body(response: httpcore.Response, headers: Mapping[str, str], most: int) -> bytes:
    encoding = headers.get("content-encoding", "").lower()
    packing = _Gzip(encoding) if encoding not in ("", "identity") else None
    body = bytearray()
    async for chunk in response.aiter_stream():
        body += packing.unpack(chunk, most + 1 - len(body)) if packing else chunk
        if len(body) > most:
            raise ResponseTooLarge
    if packing and body:
        packing.end()
    return bytes(body)


class _Gzip:
    """Unpacks what some servers pack unasked, never to more than is wanted: little may unpack to much."""

    def __init__(self, encoding: str) -> None:
        if encoding not in ("gzip", "x-gzip", "deflate"):
            raise ResponseUnreadable(f"the body is encoded as {encoding[:40]}, which was not asked for")
        self._encoding, self._stream = encoding, zlib.decompressobj(zlib.MAX_WBITS | 32)

    def unpack(self, chunk: bytes, most: int) -> bytes:
        """Return what a chunk holds, at most so many bytes."""
        try:
            return self._stream.decompress(chunk, most)
        except zlib.error as error:
            raise ResponseUnreadable(f"the body is no {self._encoding}: {error}") from error

    def end(self) -> None:
        """Complain where there should be more."""
        if not self._stream.eof:
            raise ResponseUnreadable(f"the body is {self._encoding} that breaks off")
