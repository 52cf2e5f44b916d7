"""Query parameters and bodies of schedules and webhooks."""

from __future__ import annotations

from attrs import field

from infraweave.api.http.fields import Time, described
from infraweave.api.http.query_fields import text
from infraweave.core.data.values import Json
from infraweave.core.lazy_records import frozen
from infraweave.core.workflow.triggers import DELIVERY_HEADER, SIGNATURE_HEADER, CatchUp, Overlap, Scheme

_CRON = "Five fields, with the meaning of Debian's cron. Give either cron or every."
_ZONE = "An IANA time zone, for cron."
_EVERY = "A duration, for example 15m. Give either cron or every."
_ANCHOR = "A time that every counts from. Default: 1970-01-01T00:00:00Z."
_INPUT = "The input of the run. Its strings may contain {schedule} and {scheduled_at}."
_CATCH_UP = "Times missed during a downtime: last starts one run, skip none, all one for each."
_OVERLAP = "What happens at a time while a run of the schedule is open."


@frozen(kw_only=True)
class ScheduleQuery:
    """The schedules to list."""

    workflow_id: str | None = text("Only schedules of this workflow.")


@frozen(kw_only=True)
class WebhookQuery:
    """The webhooks to list."""

    workflow_id: str | None = text("Only webhooks of this workflow.")


# --- requests ---------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class ChangeSchedule:
    """All settings of a schedule."""

    cron: str | None = described(_CRON, default=None)
    timezone: str = described(_ZONE, default="UTC")
    every: str | None = described(_EVERY, default=None)
    anchor: str | None = described(_ANCHOR, default=None)
    input: Json = field(factory=dict, metadata={"doc": _INPUT})
    catch_up: CatchUp = described(_CATCH_UP, default="last")
    overlap: Overlap = described(_OVERLAP, default="skip")
    paused: bool = described("True: the schedule starts no runs.", default=False)


@frozen(kw_only=True)
class CreateSchedule(ChangeSchedule):
    """A new schedule."""

    workflow_id: str = described("The workflow to run. Its active version is used.")
    name: str = described("Unique within the workflow.", minLength=1, maxLength=128)


@frozen(kw_only=True)
class CreateWebhook:
    """A new webhook."""

    workflow_id: str = described("The workflow to run. Its active version is used.")
    name: str = described("Unique within the tenant.", minLength=1, maxLength=128)
    secret: str | None = described(
        "The secret that signs deliveries. Default: a generated one.",
        default=None,
        minLength=16,
        maxLength=255,
    )
    scheme: Scheme = described(
        "How deliveries are signed. hex (GitHub, Stripe) or base64: HMAC-SHA256 of the body. standard:"
        " Standard Webhooks, with a secret of whsec_ and the key in base64.",
        default="hex",
    )
    signature_header: str = described(
        "The header of the signature, unless the scheme is standard.", default=SIGNATURE_HEADER
    )
    timestamp_header: str | None = described(
        "The header of the time of signing, which is then signed as <unix seconds>.<body>. Name the signature"
        " header if it contains both, as t=<time>,v1=<hex>.",
        default=None,
    )
    tolerance: str = described("The largest difference between that time and now.", default="5m")
    delivery: str = described(
        "The header, or the template, that identifies a delivery. Without it the body does. Default for the"
        " scheme standard: the id of Standard Webhooks.",
        default=DELIVERY_HEADER,
    )
    input: Json = described("May contain {body…}, {headers…} and {delivery_id}.", default="{body}")


# --- responses ---------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class ScheduleShown:
    """A schedule and its progress."""

    schedule_id: str = described("workflow_id:name")
    workflow_id: str
    name: str
    declared_in: str | None = described("The version that declares it. Null: it was created through the API.")
    cron: str | None = described(_CRON)
    timezone: str = described(_ZONE)
    every: str | None = described(_EVERY)
    anchor: str | None = described(_ANCHOR)
    input: Json = described(_INPUT)
    catch_up: CatchUp = described(_CATCH_UP)
    overlap: Overlap = described(_OVERLAP)
    paused: bool
    next_fire_times: tuple[Time, ...] = described("The next five times. Empty while the schedule is paused.")
    last_fire_time: Time | None = described("The newest time that was handled.")
    last_run_id: str | None
    last_error: str | None = described("Why the newest time started no run.")
    waiting: int = described("Times with a run that waits for an open run to end.")
    skipped: int = described("Times skipped because a run was open.")


@frozen(kw_only=True)
class ScheduleAcknowledged:
    """A changed schedule, for a principal without ``read`` on its workflow."""

    schedule_id: str
    paused: bool


@frozen(kw_only=True)
class ScheduleList:
    """The schedules of workflows that the principal may read."""

    schedules: tuple[ScheduleShown, ...]


@frozen(kw_only=True)
class WebhookShown:
    """A webhook, without its secret."""

    name: str
    workflow_id: str
    path: str = described("The path for deliveries.")
    declared_in: str | None = described("The version that declares it. Null: it was created through the API.")
    secret_env: str | None = described("The environment variable of the server that contains the secret.")
    scheme: Scheme
    signature_header: str
    timestamp_header: str | None
    tolerance: str
    delivery: str
    input: Json


@frozen(kw_only=True)
class NewWebhook(WebhookShown):
    """A webhook with its secret, shown only once."""

    secret: str


@frozen(kw_only=True)
class WebhookList:
    """The webhooks of workflows that the principal may read."""

    webhooks: tuple[WebhookShown, ...]
