"""``flow.schedule`` and ``flow.webhook``: declare what starts runs."""

from __future__ import annotations

from infraweave.authoring.declarations import DeclaredWorkflow
from infraweave.core.data.values import Duration, Json
from infraweave.core.workflow.triggers import CatchUp, Overlap, Scheme


class TriggerDeclarations(DeclaredWorkflow):
    """The part of a Workflow that declares schedules and webhooks."""

    def schedule(
        self,
        name: str,
        *,
        cron: str | None = None,
        timezone: str = "UTC",
        every: Duration | None = None,
        anchor: str | None = None,
        input: Json = None,  # noqa: A002 - the wire's word
        catch_up: CatchUp = "last",
        overlap: Overlap = "skip",
        paused: bool = False,
    ) -> None:
        """Declare that runs start at certain times, while this version is active.

        ``cron`` has five fields, in Debian's cron syntax, in the time zone ``timezone`` (an IANA name).
        ``every`` is a duration counted from ``anchor`` (an RFC 3339 time, by default the Unix epoch, so that
        ``"24h"`` means midnight UTC). ``input`` may hold ``"{schedule}"`` and ``"{scheduled_at}"``.

        ``catch_up`` says what happens with times missed while the server was down: ``last`` starts one run
        for the latest of them, ``skip`` starts none, ``all`` starts one for each (at most the latest 1,000;
        requires ``overlap="queue"``). ``overlap`` says what happens at a time when a run of this schedule is
        still open: ``skip`` starts nothing, ``queue`` starts a run once that one has ended (at most 1,000
        wait), ``cancel_running`` cancels that run and starts a new one once it has ended.
        """
        self.schedules.append(
            {
                "name": name,
                "cron": cron,
                "timezone": timezone,
                "every": every,
                "anchor": anchor,
                "input": {} if input is None else input,
                "catch_up": catch_up,
                "overlap": overlap,
                "paused": paused,
            }
        )
        self._on_change()

    def webhook(
        self,
        name: str,
        *,
        secret_env: str,
        scheme: Scheme = "hex",
        signature_header: str = "X-Signature",
        timestamp_header: str | None = None,
        tolerance: Duration = "5m",
        delivery: str = "X-Delivery-Id",
        input: Json = "{body}",  # noqa: A002 - the wire's word
    ) -> None:
        """Declare that signed deliveries to ``POST /hooks/{name}`` start runs, while this version is active.

        The signature is ``sha256=`` and the hexadecimal HMAC-SHA256 of the body. The environment variable
        ``secret_env`` of the server holds the secret. With ``timestamp_header`` the signed text is
        ``<unix seconds>.<body>``, and the time may differ from now by ``tolerance``. If one header holds both
        as ``t=…,v1=…``, name that header twice. With ``scheme="base64"`` the header holds the HMAC in base64.
        ``"standard"`` means Standard Webhooks, which defines its own headers.

        ``delivery`` makes deliveries idempotent: it names a header, or is a template such as ``"{body.id}"``.
        A delivery without that value is identified by its body. ``input`` may hold ``"{body…}"``,
        ``"{headers…}"`` and ``"{delivery_id}"``.
        """
        self.webhooks.append(
            {
                "name": name,
                "secret_env": secret_env,
                "scheme": scheme,
                "signature_header": signature_header,
                "timestamp_header": timestamp_header,
                "tolerance": tolerance,
                "delivery": delivery,
                "input": input,
            }
        )
        self._on_change()
