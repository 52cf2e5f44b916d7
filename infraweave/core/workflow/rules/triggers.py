"""Checks the schedules and webhooks of a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from infraweave.core.data.json_schema import schema_faults, validator
from infraweave.core.data.schema_defaults import defaults_of
from infraweave.core.workflow import schedules, webhooks
from infraweave.core.workflow.document import Document
from infraweave.core.workflow.triggers import Webhook
from infraweave.errors import Fault


def trigger_faults(document: Document) -> Iterator[Fault]:
    """Yield the faults of all triggers; paths are relative to the document."""
    for place, schedule in enumerate(document.schedules):
        label = f"schedule {schedule.name:.128}: "
        yield from (fault.within(f"/schedules/{place}", label) for fault in schedules.faults(schedule))
    yield from _input_misfits(document)
    for place, webhook in enumerate(document.webhooks):
        label = f"webhook {webhook.name:.128}: "
        yield from (fault.within(f"/webhooks/{place}", label) for fault in _webhook(webhook))
    for kind, names in (
        ("schedule", [schedule.name for schedule in document.schedules]),
        ("webhook", [webhook.name for webhook in document.webhooks]),
    ):
        for name in (name for name, count in Counter(names).items() if count > 1):
            last = len(names) - 1 - names[::-1].index(name)
            message = f"{kind} {name:.128}: there are several of this name"
            yield Fault(f"/{kind}s/{last}", "duplicate", message)


def _webhook(webhook: Webhook) -> Iterator[Fault]:
    yield from webhooks.faults(webhook)
    if webhook.secret_env is None:
        yield Fault("/secret_env", "required", "secret_env must name the variable that holds the secret")


def _input_misfits(document: Document) -> Iterator[Fault]:
    """Yield the inputs of schedules that do not match the input schema of the workflow."""
    sound = [
        (n, schedule) for n, schedule in enumerate(document.schedules) if not any(schedules.faults(schedule))
    ]
    if not sound or schema_faults(document.input_schema):
        return
    check, defaults = validator(document.input_schema), defaults_of(document.input_schema)
    for place, schedule in sound:
        for fault in check.faults(defaults.filled(schedules.sample_input(schedule))):
            message = f"schedule {schedule.name}: its input does not fit: {fault.sentence}"
            yield Fault(f"/schedules/{place}/input", "conflict", message)
