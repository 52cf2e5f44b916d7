"""Triggers: schedules and webhooks as plain values, part of a definition document.

``schedules`` computes times, ``webhooks`` verifies deliveries. Both render the input of a run from a JSON
template (``template``).
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from attrs import field, frozen

from infraweave.core.data.values import Json

#: What becomes of times that were missed: none, the latest one, or all (bounded) are made up for.
CatchUp: TypeAlias = Literal["skip", "last", "all"]
#: What becomes of a time at which a run of the same schedule is still open.
Overlap: TypeAlias = Literal["skip", "queue", "cancel_running"]
CATCH_UPS: tuple[str, ...] = get_args(CatchUp)
OVERLAPS: tuple[str, ...] = get_args(Overlap)

#: How deliveries are signed: ``hex`` and ``base64`` say in which letters the HMAC-SHA256 stands in a header
#: that the sender names; ``standard`` is https://www.standardwebhooks.com, which has headers of its own.
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
    #: An RFC 3339 time with which ``every`` is in step; None: 1970-01-01T00:00:00Z.
    anchor: str | None = None
    #: The run's input, with places for ``{schedule}`` and ``{scheduled_at}``.
    input: Json = field(factory=dict)
    catch_up: CatchUp = "last"
    overlap: Overlap = "skip"
    #: Whether it is paused when it is first published.
    paused: bool = False

    @property
    def timing(self) -> tuple[object, ...]:
        """What its times follow from."""
        return self.cron, self.timezone, self.every, self.anchor


@frozen(kw_only=True)
class Webhook:
    """A door for signed deliveries, each of which starts a run. The secret itself is never in here."""

    name: str
    #: The environment variable of the server that holds the secret; None: the server's table holds it.
    secret_env: str | None = None
    scheme: Scheme = "hex"
    #: Where the signature is: ``sha256=<hex>``, or ``<hex>`` or ``<base64>`` alone.
    signature_header: str = SIGNATURE_HEADER
    #: Where the time of signing is, in Unix seconds; it is then signed too, as ``<time>.<body>``. The
    #: signature's own header: both stand in it, as ``t=<time>,v1=<hex>``.
    timestamp_header: str | None = None
    #: Seconds that the time of signing may differ from now.
    tolerance: float = 300.0
    #: What tells deliveries apart: a header's name, or a template such as ``{body.id}``. Where it is absent,
    #: the body does.
    delivery: str = DELIVERY_HEADER
    #: The run's input; its places are ``{body}``, ``{headers}`` (names in small letters), ``{delivery_id}``.
    input: Json = "{body}"
