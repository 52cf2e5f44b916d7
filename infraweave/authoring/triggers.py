"""What a workflow declares to start by itself: ``flow.schedule`` and ``flow.webhook``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infraweave.core.data.values import Duration, Json
from infraweave.core.workflow.triggers import CatchUp, Overlap, Scheme


class Triggers:
    """The half of a Workflow that holds its schedules and webhooks, as their author wrote them."""

    def __init__(self) -> None:
        self.schedules: list[Mapping[str, Any]] = []
        self.webhooks: list[Mapping[str, Any]] = []

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
        """Declare that a run starts at certain times, while this version is the active one.

        ``cron`` has five fields, read in ``timezone`` (an IANA name) as Debian's cron reads them; ``every``
        is a duration counted from ``anchor`` (an RFC 3339 time, by default the Unix epoch, so that ``"24h"``
        is midnight UTC). ``input`` may hold ``"{schedule}"`` and ``"{scheduled_at}"``.

        ``catch_up`` says what becomes of times that were missed while the server was down: ``last`` starts
        one run for the latest of them, ``skip`` none, ``all`` one for each (at most the latest 1,000; needs
        ``overlap="queue"``). ``overlap`` says what becomes of a time at which a run of this schedule is still
        open: ``skip`` drops it, ``queue`` starts it once that run has ended (at most 1,000 wait),
        ``cancel_running`` cancels that run and starts once it has ended.
        """
        given = {} if input is None else input
        self.schedules.append(
            {
                "name": name,
                "cron": cron,
                "timezone": timezone,
                "every": every,
                "anchor": anchor,
                "input": given,
                "catch_up": catch_up,
                "overlap": overlap,
                "paused": paused,
            }
        )
        self._changed()

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

        The signature is ``sha256=`` and the hexadecimal HMAC-SHA256 of the body under the secret that the
        server's environment variable ``secret_env`` holds. With ``timestamp_header`` the time is signed too,
        as ``<unix seconds>.<body>``, and may differ from now by ``tolerance``; where both stand in one header
        as ``t=…,v1=…``, name it twice. With ``scheme="base64"`` the header holds the HMAC in base64 instead;
        ``"standard"`` is Standard Webhooks, which has headers of its own. ``delivery`` names the header
        (or is a template such as ``"{body.id}"``) whose value makes deliveries idempotent; where it is
        absent, the body does. ``input`` may hold ``"{body…}"``, ``"{headers…}"`` and ``"{delivery_id}"``.
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
        self._changed()

    def _changed(self) -> None:
        """Forget what was compiled; the Workflow knows how."""
