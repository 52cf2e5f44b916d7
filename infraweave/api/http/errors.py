"""Errors on the wire: the one envelope, and what becomes of errors that are not ours."""

from __future__ import annotations

from werkzeug.exceptions import HTTPException

from infraweave.api.http.decoding import dump
from infraweave.api.runs.schemas import Error, ErrorDetail, ErrorInfo
from infraweave.core.data.redact import redact
from infraweave.core.data.values import Json
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


def envelope(error: RequestError, request_id: str) -> Json:
    """Return the one envelope."""
    return dump(Error(error=info(error, request_id)))


def info(error: RequestError, request_id: str) -> ErrorInfo:
    """Return what the envelope tells of an error."""
    details = tuple(
        ErrorDetail(path=redact(fault.path), message=redact(fault.message)) for fault in error.details
    )
    message = redact(error.message)
    return ErrorInfo(code=error.code, message=message, request_id=request_id, details=details or None)


def translated(error: HTTPException) -> RequestError:
    """Return what an error of the HTTP library is in our tree."""
    if error.code == MethodNotAllowed.status:
        methods = sorted(set(getattr(error, "valid_methods", None) or ()))
        allowed = ", ".join(methods)
        return MethodNotAllowed(f"This path takes {allowed}.", headers={"Allow": allowed})
    return _BY_STATUS.get(error.code or 500, Internal)()
