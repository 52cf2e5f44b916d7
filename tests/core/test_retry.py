"""When a failed attempt is tried again."""

from __future__ import annotations

import pytest

from infraweave.core.run.facts import AttemptFailed
from infraweave.core.workflow.document import Retry
from tests.core.story import Story, node


@pytest.mark.parametrize(
    ("asked", "maximum", "waited"),
    [
        (None, 60, 10),
        (3, 60, 10),
        (30, 60, 30),
        (7_200, 60, 3_600),
        (7_200, 86_400, 7_200),
        (1e300, 60, 3_600),
    ],
)
def test_the_other_side_may_ask_for_a_longer_wait(asked, maximum, waited):
    steady = Retry(max_attempts=3, initial=10, factor=2, maximum=maximum, jitter=False)
    story = Story(node("a", retry=steady))
    story.start()
    address = story.entry("a").address
    story.give(
        AttemptFailed(
            address=address, attempt=1, code="http_429", message="busy", latency_ms=1, retry_after=asked
        )
    )
    assert story.entry("a").due_at == waited * 1000
