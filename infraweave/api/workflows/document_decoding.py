"""Decodes definition documents, and tells all that is wrong with one that does not decode."""

from __future__ import annotations

from collections.abc import Sequence

from infraweave.api.http.decoding import MAX_FAULTS, decode, refuse
from infraweave.core.data.values import Json
from infraweave.core.workflow.document import Document
from infraweave.core.workflow.rules.partial import faults_beside
from infraweave.errors import Fault


def read_document(value: Json, found: Sequence[Fault] = ()) -> Document:
    """Return the document that a JSON value spells; ``found`` are faults of it that are known already.

    Raises:
        MalformedRequest: it is not a document. The details name every fault, also what breaks the rules for
            workflows in the parts that can be read.
    """
    document, faults = decode(Document, value)
    faults = [*found, *faults]
    if 0 < len(faults) < MAX_FAULTS:
        faults += faults_beside(document, faults)
    refuse(faults)
    return document
