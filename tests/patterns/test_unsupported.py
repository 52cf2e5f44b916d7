"""What the graph says to the patterns that it does not have: no, when the workflow is compiled, and why."""

from __future__ import annotations

import pytest

from infraweave import Workflow
from infraweave.errors import DeclarationError


def test_a_cycle_with_two_entries_is_refused():
    flow = Workflow("arbitrary", version="v1")

    @flow.router(routes=["draft", "review"])
    def begin(input: dict) -> list[str]:
        return [input["at"]]

    @flow.node
    async def draft(review: str | None = None) -> str:
        return "draft"

    @flow.node  # the second way into the loop
    async def review(draft: str | None = None) -> str:
        return "reviewed"

    @flow.repeat(back_to=draft, max_iterations=5)
    def again(review: str) -> bool:
        return False

    with pytest.raises(DeclarationError, match="the loop again has two entries: draft and review"):
        flow.compile()


def test_a_router_cannot_lead_back():
    flow = Workflow("arbitrary", version="v1")

    @flow.node
    async def draft() -> str:
        return "draft"

    @flow.router(routes=["draft", "publish"])
    def judge(draft: str) -> str:
        return "publish"

    @flow.node
    async def publish(draft: str) -> str:
        return "published"

    with pytest.raises(DeclarationError, match="draft is a route of judge and cannot come before it"):
        flow.compile()
