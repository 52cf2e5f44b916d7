"""A web server for the tests of http nodes: it says what it was asked, and answers as it is told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from attrs import define, field, frozen

from infraweave.core.data import json_codec


@frozen
class Asked:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json_codec.loads(self.body)


def answer(status: int = 200, body: object = None, **headers: str) -> bytes:
    """Spell a response; what is no bytes or text goes as JSON."""
    kind = "application/json"
    if isinstance(body, str):
        body, kind = body.encode(), "text/plain"
    data = body if isinstance(body, bytes) else b"" if body is None else json_codec.dumps(body)
    given = {"content-type": kind, "content-length": str(len(data)), "connection": "close"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} Thing", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


@define
class Web:
    """What was asked, and what is answered next; the last answer stands."""

    port: int = 0
    scheme: str = "http"
    asked: list[Asked] = field(factory=list)
    readers: list[asyncio.StreamReader] = field(factory=list)
    writers: list[asyncio.StreamWriter] = field(factory=list)
    answers: list[bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]] = field(factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self.readers.append(reader)
        try:
            self.asked.append(await _read(reader))
            answering = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if isinstance(answering, bytes):
                writer.write(answering)
                await writer.drain()
            else:
                await answering(writer)
        except ConnectionError:
            pass
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Asked:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    method, target, _ = first.split(" ")
    return Asked(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))


@asynccontextmanager
async def serving(*answers, tls: ssl.SSLContext | None = None) -> AsyncIterator[Web]:
    """Serve on a free port of the loopback."""
    web = Web(answers=list(answers) or [answer()], scheme="http" if tls is None else "https")
    server = await asyncio.start_server(web.serve, "127.0.0.1", 0, ssl=tls)
    web.port = server.sockets[0].getsockname()[1]
    try:
        yield web
    finally:
        server.close()
        for writer in web.writers:  # some answers never come, and Python 3.12 waits for them
            writer.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)  # what was aborted is closed in the loop's next turn
