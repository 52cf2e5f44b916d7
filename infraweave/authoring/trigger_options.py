"""Reads the options of ``flow.schedule`` and ``flow.webhook``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from infraweave.authoring.option_reader import OptionReader
from infraweave.core.data.json_codec import dumps
from infraweave.core.workflow.document import Document
from infraweave.core.workflow.document_codec import trigger_to_json
from infraweave.core.workflow.triggers import Schedule, Webhook
from infraweave.errors import Fault


def read_schedule(read: OptionReader, given: Mapping[str, Any]) -> Schedule:
    """Return a schedule; its faults are added to those of ``read``."""
    where = f"schedule {given['name']}"
    return Schedule(
        **{
            **given,
            **{name: read.text(f"{where}: {name}", given[name]) for name in ("name", "timezone")},
            **{name: _optional_text(read, where, name, given) for name in ("cron", "anchor")},
            "every": read.duration(where, "every", given["every"]),
            "paused": bool(given["paused"]),
        }
    )


def read_webhook(read: OptionReader, given: Mapping[str, Any]) -> Webhook:
    """Return a webhook; its faults are added to those of ``read``."""
    where, required = f"webhook {given['name']}", ("name", "signature_header", "delivery")
    optional = ("secret_env", "timestamp_header")
    return Webhook(
        **{
            **given,
            **{name: read.text(f"{where}: {name}", given[name]) for name in required},
            **{name: _optional_text(read, where, name, given) for name in optional},
            "tolerance": read.duration(where, "tolerance", given["tolerance"]) or 0.0,
        }
    )


def _optional_text(read: OptionReader, where: str, name: str, given: Mapping[str, Any]) -> str | None:
    return None if given[name] is None else read.text(f"{where}: {name}", given[name])


def unwritable_triggers(document: Document) -> Iterator[Fault]:
    """Yield a fault for each schedule and webhook that cannot be written as JSON."""
    triggers: tuple[Schedule | Webhook, ...] = (*document.schedules, *document.webhooks)
    for trigger in triggers:
        try:
            dumps(trigger_to_json(trigger))
        except TypeError as error:
            kind = type(trigger).__name__.lower()
            message = f"{kind} {trigger.name}: it cannot be written as JSON: {error}"
            yield Fault(f"/{kind}s", "not_json", message)
