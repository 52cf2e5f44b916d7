"""What all tests share: a server of their own, on a clock that they turn."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import settings

import infraweave
from infraweave.authoring.decorators import Workflow
from infraweave.server.embedding import Server
from infraweave.testing import VirtualClock

# A deadline in milliseconds would fail tests on a busy machine.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

EXAMPLES = Path(__file__).parent.parent / "workflows.example"


@pytest.fixture(autouse=True)
def _no_test_silences_the_next() -> Iterator[None]:
    """Fail a test that leaves logging quieter: a later one that waits for a line would hang."""
    before = _silenced()
    yield
    assert _silenced() == before


def _silenced() -> tuple[int, int, list[str]]:
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "infraweave"]
    return (
        logging.root.manager.disable,
        logging.root.level,
        [name for name in names if logging.getLogger(name).disabled],
    )


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
