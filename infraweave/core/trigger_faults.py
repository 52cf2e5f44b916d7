"""What is wrong with the schedules and webhooks of a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from infraweave.core import schedules, webhooks
from infraweave.core.document import Document


def trigger_faults(document: Document) -> Iterator[str]:
    """Yield every fault of what a document starts by itself."""
    for schedule in document.schedules:
        yield from (f"schedule {schedule.name:.128}: {fault}" for fault in schedules.faults(schedule))
    for webhook in document.webhooks:
        yield from (f"webhook {webhook.name:.128}: {fault}" for fault in webhooks.faults(webhook))
        if webhook.secret_env is None:
            yield f"webhook {webhook.name:.128}: secret_env must name the variable that holds the secret"
    for kind, declared in (("schedule", document.schedules), ("webhook", document.webhooks)):
        counts = Counter(trigger.name for trigger in declared)
        yield from (
            f"{kind} {name:.128}: there are several of this name" for name in counts if counts[name] > 1
        )
