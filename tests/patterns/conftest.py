"""The engine's world for each story of a pattern, and hands that work until the story lets them finish."""

from __future__ import annotations

import pytest

from tests.engine.conftest import world
from tests.patterns.stage import Hands, Post

__all__ = ["world"]


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def post() -> Post:
    return Post()
