"""A database in a file of its own for each test."""

from __future__ import annotations

import pytest

from infraweave.store.journal import Journal
from infraweave.store.sqlite.database import Database


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tea.db"


@pytest.fixture
async def db(path):
    async with Database.open(path) as database:
        yield database


@pytest.fixture
def journal(db):
    return Journal(db)
