"""Reads a server's responses: JSON, or an error as an exception. Tells which failures are temporary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx

#: Seconds before the first retry when a server is unreachable, and the longest delay between retries.
RECONNECT, MAX_DELAY = 0.5, 15.0
#: Status codes of a server that is full or stopping, and of a proxy whose server is away.
_TEMPORARY = frozenset({429, 502, 503, 504})
#: Client-side errors that every attempt would repeat.
_PERMANENT = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)


class ClientError(Exception):
    """The server refused a request. Holds the fields of its error response."""

    def __init__(self, status: int, error: Mapping[str, Any], *, retry_after: float | None = None) -> None:
        self.status = status
        self.code = str(error.get("code", "unknown"))
        self.message = str(error.get("message", f"HTTP {status}"))
        self.request_id = error.get("request_id")
        self.details: list[dict[str, str]] = list(error.get("details", ()))
        #: The Retry-After header in seconds, if there was one.
        self.retry_after = retry_after
        super().__init__(f"{self.code}: {self.message}")


class RunFailed(Exception):
    """The run failed or was cancelled; ``error`` is the run's error."""

    def __init__(self, run_id: str, state: str, error: Mapping[str, Any]) -> None:
        self.run_id, self.state, self.error = run_id, state, dict(error)
        super().__init__(f"{run_id} {state}: {error.get('message')}")


def read_json(response: httpx.Response) -> Any:
    """Return the JSON of a response, or None if it has no body.

    Raises:
        ClientError: the response is an error, or does not come from an InfraWeave server.
    """
    if response.is_success and not response.content:
        return None
    try:
        value = response.json()
        if response.is_success:
            return value
        error = dict(value["error"])
    except (ValueError, KeyError, TypeError):
        text = response.text[:200]
        error = {"message": f"HTTP {response.status_code}, but not an InfraWeave response: {text}"}
    raise ClientError(response.status_code, error, retry_after=_seconds(response.headers.get("Retry-After")))


def is_temporary(error: httpx.TransportError | ClientError) -> bool:
    """Tell whether a retry may succeed."""
    if isinstance(error, ClientError):
        return error.status in _TEMPORARY
    return not isinstance(error, _PERMANENT)


def backoff(first: float) -> Iterator[float]:
    """Yield the seconds to wait before each retry; each delay is twice the last, up to MAX_DELAY."""
    delay = first
    while True:
        yield delay
        delay = min(2 * delay, MAX_DELAY)


def _seconds(text: str | None) -> float | None:
    """Return a Retry-After in seconds. A date, its other form, is ignored."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else None
