"""HTTP/1.1 over a raw socket: what is sent is sent as it stands, and what comes is kept as it comes."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

from attrs import define, field, frozen

#: Seconds until a server that says nothing is given up.
PATIENCE = 30.0
#: Statuses without a body.
_BARE = (204, 304)


@frozen
class Answer:
    """One answer. ``body`` is without its chunks."""

    status: int
    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    #: The server closed the connection after it.
    closed: bool = False

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


@define
class Wire:
    """One connection to a server."""

    port: int
    _socket: socket.socket = field(init=False)
    _buffer: bytes = field(init=False, default=b"")

    def __attrs_post_init__(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def send(self, raw: bytes) -> None:
        with suppress(ConnectionError):  # the answer says why
            self._socket.sendall(raw)

    def half_close(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()

    def is_closed(self) -> bool:
        """Tell whether the server has closed the connection; wait for it to do so."""
        return not self._buffer and not self._fill()

    def _fill(self) -> bool:
        try:
            more = self._socket.recv(65_536)
        except ConnectionError:
            return False
        self._buffer += more
        return bool(more)

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            if not self._fill():
                raise EOFError(self._buffer)
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not self._fill():
                raise EOFError(self._buffer)
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def answer(self, method: str = "GET", until: Callable[[bytes], bool] | None = None) -> Answer:
        """Read one answer. ``until``: read a stream only until its bytes so far satisfy this."""
        line = self._line().decode("latin-1")
        headers = []
        while named := self._line():
            name, _, value = named.decode("latin-1").partition(":")
            headers.append((name, value.strip()))
        status = int(line.split(" ")[1])
        head = Answer(status, line, tuple(headers), b"")
        body = b"" if method == "HEAD" or status in _BARE or status < 200 else self._body(head, until)
        closed = (head.header("connection") or "").lower() == "close" and self.is_closed()
        return Answer(status, line, head.headers, body, closed)

    def _body(self, head: Answer, until: Callable[[bytes], bool] | None) -> bytes:
        if (length := head.header("content-length")) is not None:
            return self._exactly(int(length))
        if (head.header("transfer-encoding") or "").lower() != "chunked":
            while self._fill():
                pass
            return self._exactly(len(self._buffer))
        body = b""
        for chunk in self._chunks():
            body += chunk
            if until is not None and until(body):
                break
        return body

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._line(), 16):
            yield self._exactly(size)
            self._line()
        self._line()
