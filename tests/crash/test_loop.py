"""A few turns of the kill loop; ``python -m tests.crash.loop`` does hundreds."""

from __future__ import annotations

import pytest

from tests.crash.loop import Tally, kill_again_and_again


@pytest.mark.timeout(120)
async def test_a_server_that_is_killed_again_and_again_loses_nothing(tmp_path):
    tally = Tally()
    await kill_again_and_again(tmp_path, 4, 11, tally)
    assert tally.kills == 4
    assert sum(tally.ends.values()) == tally.runs > 0
