"""A Workflow that comes from a definition document instead of declarations."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from infraweave.authoring.compiler import Compiled
from infraweave.authoring.decorators import Workflow
from infraweave.core.workflow.document import Document


class DocumentWorkflow(Workflow):
    """A workflow read from a document. Its nodes use the code of other workflows."""

    def __init__(self, workflow_id: str, read: Callable[[], Document]) -> None:
        """Keep ``read``, which returns the document and may raise DeclarationError."""
        super().__init__(workflow_id)
        self._read = read

    @cached_property
    def compiled(self) -> Any:
        """The document, without code."""
        return Compiled(self._read(), {}, {})
