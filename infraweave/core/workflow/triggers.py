"""Triggers: schedules and webhooks as plain values, part of a definition document.

``schedules`` computes times, ``webhooks`` verifies deliveries. Both render the input of a run from a JSON
template (``template``).
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from attrs import field

from infraweave.core.data.values import Json
from infraweave.core.records import frozen

#: Which missed times are caught up: none, the latest one, or all up to a limit.
CatchUp: TypeAlias = Literal["skip", "last", "all"]
#: What happens at a time when a run of the same schedule is still open.
Overlap: TypeAlias = Literal["skip", "queue", "cancel_running"]
CATCH_UPS: tuple[str, ...] = get_args(CatchUp)
OVERLAPS: tuple[str, ...] = get_args(Overlap)

#: How deliveries are signed: ``hex`` and ``base64`` are encodings of the HMAC-SHA256 in a header that the
#: sender names; ``standard`` is https://www.standardwebhooks.com, which defines its own headers.
Scheme: TypeAlias = Literal["hex", "base64", "standard"]
SCHEMES: tuple[str, ...] = get_args(Scheme)

#: The values that the input of a scheduled run may name.
SCHEDULE_VALUES = ("schedule", "scheduled_at")
#: The values that the input of a delivered run may name.
DELIVERY_VALUES = ("body", "headers", "delivery_id")

#: The headers of a delivery, unless the webhook names others.
SIGNATURE_HEADER, DELIVERY_HEADER = "X-Signature", "X-Delivery-Id"


@frozen(kw_only=True)
class Schedule:
    """Times at which runs start: by ``cron`` in a time zone, or ``every`` so many seconds."""

    name: str
    #: Five fields, read as Debian's cron reads them.
    cron: str | None = None
    #: An IANA name; for ``cron`` only.
    timezone: str = "UTC"
    #: Seconds.
    every: float | None = None
    #: The RFC 3339 time from which ``every`` counts; None: 1970-01-01T00:00:00Z.
    anchor: str | None = None
    #: The run's input; its placeholders are ``{schedule}`` and ``{scheduled_at}``.
    input: Json = field(factory=dict)
    catch_up: CatchUp = "last"
    overlap: Overlap = "skip"
    #: Whether it is paused when it is first published.
    paused: bool = False

    @property
    def timing(self) -> tuple[object, ...]:
        """The options that determine its times."""
        return self.cron, self.timezone, self.every, self.anchor


@frozen(kw_only=True)
class Webhook:
    """An address for signed deliveries. Each delivery starts a run. The secret itself is not stored here."""

    name: str
    #: The environment variable of the server with the secret; None: the secret is in the server's table.
    secret_env: str | None = None
    scheme: Scheme = "hex"
    #: The header of the signature: ``sha256=<hex>``, or only ``<hex>`` or ``<base64>``.
    signature_header: str = SIGNATURE_HEADER
    #: The header of the time of signing, in Unix seconds; the time is then signed too, as ``<time>.<body>``.
    #: If it is the header of the signature, that header has both, as ``t=<time>,v1=<hex>``.
    timestamp_header: str | None = None
    #: The most seconds between the time of signing and now.
    tolerance: float = 300.0
    #: What identifies a delivery: the name of a header, or a template like ``{body.id}``. If it is absent,
    #: the body identifies the delivery.
    delivery: str = DELIVERY_HEADER
    #: The run's input. Placeholders: ``{body}``, ``{headers}`` (lower-case names) and ``{delivery_id}``.
    input: Json = "{body}"
