"""Workflows that are written as definition documents, in the place of those that are declared."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from infraweave.authoring.compiler import Compiled
from infraweave.authoring.decorators import Workflow
from infraweave.core.workflow.document import Document


class Written(Workflow):
    """A document where a Workflow is wanted; the code that its nodes name is other workflows'."""

    def __init__(self, workflow_id: str, read: Callable[[], Document]) -> None:
        """Take a document by what reads it, which may raise DeclarationError."""
        super().__init__(workflow_id)
        self._read = read

    @cached_property
    def compiled(self) -> Any:
        """The document, and no code."""
        return Compiled(self._read(), {}, {})
