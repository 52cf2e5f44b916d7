"""Errors on the wire: the one envelope, and what an error of the HTTP library becomes."""

from __future__ import annotations

from werkzeug.exceptions import HTTPException

from infraweave.api.http.decoding import dump
from infraweave.api.http.fields import described
from infraweave.core.data.redact import redact
from infraweave.core.data.values import Json
from infraweave.core.lazy_records import frozen
from infraweave.errors import (
    Internal,
    MalformedRequest,
    MethodNotAllowed,
    PayloadTooLarge,
    RequestError,
    RequestTimeout,
    RouteNotFound,
    UnsupportedMediaType,
)

_BY_STATUS: dict[int, type[RequestError]] = {
    400: MalformedRequest,
    404: RouteNotFound,
    408: RequestTimeout,
    413: PayloadTooLarge,
    415: UnsupportedMediaType,
}


@frozen(kw_only=True)
class ErrorDetail:
    """One wrong field."""

    path: str = described("A JSON Pointer into the body, or a slash and the name of a query parameter.")
    message: str


@frozen(kw_only=True)
class ErrorInfo:
    """What was wrong, what was expected and, where there is one, the next step."""

    code: str
    message: str
    request_id: str
    details: tuple[ErrorDetail, ...] | None = described("Where fields are wrong.", default=None, omit=True)


@frozen(kw_only=True)
class Error:
    """The one envelope of every error."""

    error: ErrorInfo


def envelope(error: RequestError, request_id: str) -> Json:
    """Return an error in the envelope, as JSON."""
    return dump(Error(error=error_info(error, request_id)))


def error_info(error: RequestError, request_id: str) -> ErrorInfo:
    """Return the content of the envelope."""
    details = tuple(
        ErrorDetail(path=redact(fault.path), message=redact(fault.message)) for fault in error.details
    )
    message = redact(error.message)
    return ErrorInfo(code=error.code, message=message, request_id=request_id, details=details or None)


def from_http_exception(error: HTTPException) -> RequestError:
    """Return the error of ours that stands for an error of the HTTP library."""
    if error.code == MethodNotAllowed.status:
        methods = sorted(set(getattr(error, "valid_methods", None) or ()))
        allowed = ", ".join(methods)
        return MethodNotAllowed(f"This path takes {allowed}.", headers={"Allow": allowed})
    return _BY_STATUS.get(error.code or 500, Internal)()
