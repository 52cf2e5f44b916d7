"""The faults of a document by their messages, as stories compare them."""

from __future__ import annotations

from infraweave.core.workflow.document import Document
from infraweave.core.workflow.rules import check


def faults(document: Document) -> list[str]:
    """Return the messages of all faults."""
    return [fault.message for fault in check.faults(document)]
