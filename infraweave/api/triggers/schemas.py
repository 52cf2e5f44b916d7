"""The shapes of schedules and webhooks on the wire."""

from __future__ import annotations

from attrs import field, frozen

from infraweave.api.runs.queries import text
from infraweave.api.runs.schemas import Time, said
from infraweave.core.data.values import Json
from infraweave.core.workflow.triggers import DELIVERY_HEADER, SIGNATURE_HEADER, CatchUp, Overlap, Scheme

_CRON = "Five fields, read as Debian's cron reads them; or every."
_ZONE = "An IANA time zone, for cron."
_EVERY = "A duration such as 15m; or cron."
_ANCHOR = "A time with which every is in step; 1970-01-01T00:00:00Z where it is left out."
_INPUT = "The run's input; its texts may hold {schedule} and {scheduled_at}."
_CATCH_UP = "What becomes of times missed in a downtime: last starts one run, skip none, all one for each."
_OVERLAP = "What becomes of a time while a run of the schedule is open."


@frozen(kw_only=True)
class ScheduleQuery:
    """Which schedules to list."""

    workflow_id: str | None = text("Only schedules of this workflow.")


@frozen(kw_only=True)
class WebhookQuery:
    """Which webhooks to list."""

    workflow_id: str | None = text("Only webhooks of this workflow.")


# --- what callers send -------------------------------------------------------------------------------------


@frozen(kw_only=True)
class ChangeSchedule:
    """What a schedule shall be from now on, all of it."""

    cron: str | None = said(_CRON, default=None)
    timezone: str = said(_ZONE, default="UTC")
    every: str | None = said(_EVERY, default=None)
    anchor: str | None = said(_ANCHOR, default=None)
    input: Json = field(factory=dict, metadata={"doc": _INPUT})
    catch_up: CatchUp = said(_CATCH_UP, default="last")
    overlap: Overlap = said(_OVERLAP, default="skip")
    paused: bool = said("Whether it starts nothing.", default=False)


@frozen(kw_only=True)
class CreateSchedule(ChangeSchedule):
    """A schedule to make."""

    workflow_id: str = said("The workflow to run; its active version.")
    name: str = said("Unique within the workflow.", minLength=1, maxLength=128)


@frozen(kw_only=True)
class CreateWebhook:
    """A webhook to make."""

    workflow_id: str = said("The workflow to run; its active version.")
    name: str = said("Unique within the tenant.", minLength=1, maxLength=128)
    secret: str | None = said(
        "What deliveries are signed with; made where it is left out.",
        default=None,
        minLength=16,
        maxLength=255,
    )
    scheme: Scheme = said(
        "How deliveries are signed: HMAC-SHA256 of the body, hex (GitHub's and Stripe's too) or base64; or"
        " standard, as Standard Webhooks does it, whose secret is whsec_ and the key in base64.",
        default="hex",
    )
    signature_header: str = said("Where the signature is, unless standard.", default=SIGNATURE_HEADER)
    timestamp_header: str | None = said(
        "Where the time of signing is; it is then signed too, as <unix seconds>.<body>. The signature's own"
        " header where both stand in it, as t=<time>,v1=<hex>.",
        default=None,
    )
    tolerance: str = said("How far that time may be from now.", default="5m")
    delivery: str = said(
        "The header, or the template, that tells deliveries apart; without it, the body does. Standard"
        " Webhooks' own id where it is left out and the scheme is standard.",
        default=DELIVERY_HEADER,
    )
    input: Json = said("May hold {body…}, {headers…} and {delivery_id}.", default="{body}")


# --- what is answered --------------------------------------------------------------------------------------


@frozen(kw_only=True)
class ScheduleShown:
    """A schedule, and how far it has come."""

    schedule_id: str = said("workflow_id:name")
    workflow_id: str
    name: str
    declared_in: str | None = said("The version that declares it; null: made through the API.")
    cron: str | None = said(_CRON)
    timezone: str = said(_ZONE)
    every: str | None = said(_EVERY)
    anchor: str | None = said(_ANCHOR)
    input: Json = said(_INPUT)
    catch_up: CatchUp = said(_CATCH_UP)
    overlap: Overlap = said(_OVERLAP)
    paused: bool
    next_fire_times: tuple[Time, ...] = said("The next five; none while it is paused.")
    last_fire_time: Time | None = said("The newest time that was dealt with.")
    last_run_id: str | None
    last_error: str | None = said("Why the newest time made no run.")
    waiting: int = said("Times whose runs wait for an open one to end.")
    skipped: int = said("Times dropped because a run was open.")


@frozen(kw_only=True)
class ScheduleAcknowledged:
    """The schedule of an act, for who may not read its workflow."""

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
    path: str = said("Where deliveries go.")
    declared_in: str | None = said("The version that declares it; null: made through the API.")
    secret_env: str | None = said("The server's environment variable that holds the secret.")
    scheme: Scheme
    signature_header: str
    timestamp_header: str | None
    tolerance: str
    delivery: str
    input: Json


@frozen(kw_only=True)
class NewWebhook(WebhookShown):
    """A webhook with its secret, told this once."""

    secret: str


@frozen(kw_only=True)
class WebhookList:
    """The webhooks of workflows that the principal may read."""

    webhooks: tuple[WebhookShown, ...]
