"""What all tests share: a server of their own, on a clock that they turn."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

import infraweave
from infraweave.authoring.decorators import Workflow
from infraweave.embedding import Server
from infraweave.testing import VirtualClock

EXAMPLES = Path(__file__).parent.parent / "workflows.example"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


@pytest.fixture
def serve(clock: VirtualClock, db: Path) -> Callable[..., AbstractAsyncContextManager[Server]]:
    """Serve workflows on a real file, a free port and the virtual clock."""

    @asynccontextmanager
    async def serving(*workflows: Workflow, **options) -> AsyncIterator[Server]:
        options = {"db": db, "clock": clock, **options}
        async with infraweave.serve(*workflows, **options) as server:
            yield server

    return serving
