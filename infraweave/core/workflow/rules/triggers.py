"""What is wrong with the schedules and webhooks of a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from infraweave.core.data.json_schema import schema_faults, validator
from infraweave.core.data.schema_defaults import defaults_of
from infraweave.core.workflow import schedules, webhooks
from infraweave.core.workflow.document import Document


def trigger_faults(document: Document) -> Iterator[str]:
    """Yield every fault of what a document starts by itself."""
    for schedule in document.schedules:
        yield from (f"schedule {schedule.name:.128}: {fault}" for fault in schedules.faults(schedule))
    yield from _unfit(document)
    for webhook in document.webhooks:
        yield from (f"webhook {webhook.name:.128}: {fault}" for fault in webhooks.faults(webhook))
        if webhook.secret_env is None:
            yield f"webhook {webhook.name:.128}: secret_env must name the variable that holds the secret"
    for kind, declared in (("schedule", document.schedules), ("webhook", document.webhooks)):
        counts = Counter(trigger.name for trigger in declared)
        yield from (
            f"{kind} {name:.128}: there are several of this name" for name in counts if counts[name] > 1
        )


def _unfit(document: Document) -> Iterator[str]:
    """Yield what the workflow's own schema has against the inputs of its schedules."""
    sound = [schedule for schedule in document.schedules if not any(schedules.faults(schedule))]
    if not sound or schema_faults(document.input_schema):
        return
    check, defaults = validator(document.input_schema), defaults_of(document.input_schema)
    for schedule in sound:
        for fault in check.faults(defaults.filled(schedules.sample_input(schedule))):
            told = f"{fault.path or '/'} {fault.message}"
            yield f"schedule {schedule.name}: its input does not fit: {told}"
