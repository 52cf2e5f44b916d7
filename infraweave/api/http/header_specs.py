"""Headers that several routes share, as the OpenAPI document describes them."""

from __future__ import annotations

from infraweave.api.http.routing import HeaderSpec

IDEMPOTENCY_KEY = HeaderSpec(
    name="Idempotency-Key",
    doc="A second request with the same key and the same body returns the run of the first.",
    schema={"type": "string", "minLength": 1, "maxLength": 255},
)
TRACE = (
    HeaderSpec(
        name="traceparent", doc="W3C trace context: a start joins the trace, other acts record a link."
    ),
    HeaderSpec(name="tracestate", doc="Goes with traceparent."),
)
LOCATION = HeaderSpec(name="Location", doc="The path of the resource.")
REPLAYED = HeaderSpec(name="Idempotent-Replayed", doc="true: the run existed before this request.")
RETRY_AFTER = HeaderSpec(name="Retry-After", doc="Seconds until another try makes sense.")
UNBUFFERED = HeaderSpec(name="X-Accel-Buffering", doc="no: proxies must not buffer the stream.")
