"""What comes back from a server: JSON, or its refusal as an exception; and which failures pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx

#: Seconds before the first new attempt to reach a server that went away, and the longest before a later one.
RECONNECT, LONGEST_DELAY = 0.5, 15.0
#: Statuses that say "not now": a full or a stopping server, or a proxy in front of one that is away.
_NOT_NOW = frozenset({429, 502, 503, 504})
#: Failures on our side of the wire, which are the same at every attempt.
_LASTING = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)


class ClientError(Exception):
    """The server refused a request: the fields of its error envelope."""

    def __init__(self, status: int, error: Mapping[str, Any], *, retry_after: float | None = None) -> None:
        self.status = status
        self.code = str(error.get("code", "unknown"))
        self.message = str(error.get("message", f"HTTP {status}"))
        self.request_id = error.get("request_id")
        self.details: list[dict[str, str]] = list(error.get("details", ()))
        #: Seconds until another attempt makes sense, where the server said so.
        self.retry_after = retry_after
        super().__init__(f"{self.code}: {self.message}")


class RunFailed(Exception):
    """The run ended without a result; ``error`` is the run's."""

    def __init__(self, run_id: str, state: str, error: Mapping[str, Any]) -> None:
        self.run_id, self.state, self.error = run_id, state, dict(error)
        super().__init__(f"{run_id} {state}: {error.get('message')}")


def content(answer: httpx.Response) -> Any:
    """Return the JSON of an answer, None where it is empty.

    Raises:
        ClientError: it is a refusal, or no answer of an InfraWeave server.
    """
    if answer.is_success and not answer.content:
        return None
    try:
        value = answer.json()
        if answer.is_success:
            return value
        error = dict(value["error"])
    except (ValueError, KeyError, TypeError):
        error = {"message": f"HTTP {answer.status_code} that is no InfraWeave answer: {answer.text[:200]}"}
    raise ClientError(answer.status_code, error, retry_after=_seconds(answer.headers.get("Retry-After")))


def passes(error: httpx.TransportError | ClientError) -> bool:
    """Tell whether a failure may pass by itself, so that trying again makes sense."""
    if isinstance(error, ClientError):
        return error.status in _NOT_NOW
    return not isinstance(error, _LASTING)


def delays(first: float) -> Iterator[float]:
    """Yield how many seconds to wait before each new attempt: twice as long every time, up to a bound."""
    delay = first
    while True:
        yield delay
        delay = min(2 * delay, LONGEST_DELAY)


def _seconds(text: str | None) -> float | None:
    """Return the seconds of a Retry-After; the other form of that header, a date, counts as none."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else None
