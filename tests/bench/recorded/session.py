"""One recording: asks a server, and keeps each request with its answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from attrs import define, field

from tests.bench.recorded.names import metrics
from tests.bench.recorded.wire import Answer, Wire

#: Bytes of a request that a recording shows.
_SHOWN_REQUEST = 300
_TOO_LARGE = 413
NOTHING = object()


@define
class Session:
    """One recording of one server."""

    port: int
    #: Tokens by the names that requests use.
    tokens: dict[str, str]
    recording: list[str] = field(factory=list)
    _wire: Wire | None = None

    def ask(
        self,
        method: str,
        path: str,
        body: Any = NOTHING,
        *more: str,
        by: str | None = "admin",
        until: Callable[[bytes], bool] | None = None,
    ) -> Answer:
        """Send a request; ``body``: bytes, or JSON. Further header lines replace those that every one has."""
        content = body if isinstance(body, bytes) else b"" if body is NOTHING else json.dumps(body).encode()
        lines = ["Host: 127.0.0.1"]
        if by is not None:
            lines.append(f"Authorization: Bearer {self.tokens.get(by, by)}")
        if body is not NOTHING:
            lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        theirs = {line.partition(":")[0].lower() for line in more}
        lines = [line for line in lines if line.partition(":")[0].lower() not in theirs]
        head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, *(line for line in more if line[-1] != "-")])
        shown = f"{method} {path} [{by}] {' | '.join(more)} {content[:_SHOWN_REQUEST]!r}"
        return self.raw(
            f"{head}\r\n\r\n".encode("latin-1") + content,
            shown=shown,
            until=until,
            last="content-length" in theirs,
        )[0]

    def get(self, path: str, *more: str, **options: Any) -> Answer:
        return self.ask("GET", path, NOTHING, *more, **options)

    def post(self, path: str, body: Any = NOTHING, *more: str, **options: Any) -> Answer:
        return self.ask("POST", path, body, *more, **options)

    def raw(
        self,
        sent: bytes,
        *,
        answers: int = 1,
        shown: str | None = None,
        until: Callable[[bytes], bool] | None = None,
        half_close: bool = False,
        last: bool = False,
    ) -> list[Answer]:
        """Send bytes and read so many answers; ``last``: nothing else can be sent on this connection."""
        wire = self._wire or Wire(self.port)
        self._wire = None
        wire.send(sent)
        if half_close:
            wire.half_close()
        method = sent.partition(b" ")[0].decode("latin-1")
        request = shown if shown is not None else repr(sent[:_SHOWN_REQUEST])
        try:
            found = [wire.answer(method, until) for _ in range(answers)]
        except (OSError, EOFError) as error:
            raise AssertionError(f"no answer to {request}") from error
        refused = found[-1].status == _TOO_LARGE  # the server may close the connection, or not
        if refused or found[-1].closed or until is not None or half_close or last:
            wire.close()
        else:
            self._wire = wire
        self.recording.append("\n".join([f"> {request}", *map(_shown, found)]))
        return found

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()

    # --- runs ------------------------------------------------------------------------------------------

    def start(self, workflow_id: str, given: Any = None, *more: str, **body: Any) -> str:
        """Start a run and return its id."""
        sent = {"workflow_id": workflow_id, **({} if given is None else {"input": given}), **body}
        return str(json.loads(self.post("/v1/runs", sent, *more).body)["run_id"])

    def until(self, run_id: str, *types: str) -> str:
        """Read the live feed of a run up to the first event of one of these types; return its id."""
        marks = [f"event: {kind}\n".encode() for kind in types]

        def come(body: bytes) -> bool:
            places = [body.find(mark) for mark in marks if mark in body]
            return any(b"\nid: " in body[place:] and body.endswith(b"\n\n") for place in places)

        self.get(f"/v1/runs/{run_id}/events", until=come)
        return run_id

    def ended(self, workflow_id: str, given: Any = None, *more: str, **body: Any) -> str:
        """Start a run, read its feed to the end and return its id."""
        run_id = self.start(workflow_id, given, *more, **body)
        self.get(f"/v1/runs/{run_id}/events")
        return run_id


def _shown(answer: Answer) -> str:
    length = str(len(answer.body))
    lines = [answer.line]
    for name, value in answer.headers:
        is_length = name.lower() == "content-length"
        lines.append(f"{name}: {'(exact)' if is_length and value == length else value}")
    if answer.closed:
        lines.append("(closed)")
    return "\n".join([*lines, "", _text(answer)])


def _text(answer: Answer) -> str:
    text = answer.body.decode("utf-8", "backslashreplace")
    return metrics(text) if text.startswith("# HELP") else text
