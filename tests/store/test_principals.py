"""Tokens: found by their hash, with the grants of the moment; never stored themselves."""

from __future__ import annotations

import sqlite3

import pytest

from infraweave.core.access import EVERY_GRANT, Grant, token_hash
from infraweave.errors import TokenNotFound
from infraweave.store.principals import NewTokenRow, Principals
from infraweave.store.sqlite.database import Database

READ, SIGNAL = Grant("read", "workflow:*"), Grant("signal", "workflow:tea")


@pytest.fixture
def principals(db):
    return Principals(db)


def token(name, expires_at=None):
    return NewTokenRow(token_id=f"tok_{name}", token_hash=token_hash(name), expires_at=expires_at)


async def test_a_new_database_gets_its_principal_once(path):
    async with Database.open(path) as db:
        assert await Principals(db).is_new()
        assert await Principals(db).bootstrap(token_hash("first"), "tok_first", 5)

    async with Database.open(path) as db:
        assert not await Principals(db).is_new()
        assert not await Principals(db).bootstrap(token_hash("second"), "tok_second", 6)
        row, principal = await Principals(db).find_token(token_hash("first"))
        assert (row.token_id, row.created_at) == ("tok_first", 5)
        assert (principal.tenant, principal.name) == ("default", "admin")
        assert principal.grants == frozenset(EVERY_GRANT)
        assert await Principals(db).find_token(token_hash("second")) is None


async def test_a_token_makes_its_tenant_and_principal_and_adds_grants(principals):
    await principals.create_token("acme", "bot", [READ], token("one"), 5)
    row = await principals.create_token("acme", "bot", [SIGNAL, READ], token("two", expires_at=99), 6)

    assert row.grants == {READ, SIGNAL}
    assert row.expires_at == 99
    assert await principals.tenants() == ["acme"]
    _, principal = await principals.find_token(token_hash("one"))
    assert principal.grants == {READ, SIGNAL}, "grants are the principal's, as they are now"


async def test_a_token_may_have_no_grants_at_all(principals):
    row = await principals.create_token("acme", "bot", [], token("one"), 5)

    assert row.grants == frozenset()


async def test_a_hash_belongs_to_one_token(principals):
    await principals.create_token("acme", "bot", [READ], token("one"), 5)
    with pytest.raises(sqlite3.IntegrityError):
        await principals.create_token("evil", "bot", [READ], token("one"), 6)

    assert await principals.tenants() == ["acme"]


async def test_an_end_stays_where_it_first_was(principals):
    await principals.create_token("acme", "bot", [READ], token("one"), 5)
    assert (await principals.revoke("tok_one", 7)).revoked_at == 7
    assert (await principals.revoke("tok_one", 8)).revoked_at == 7
    row, _ = await principals.find_token(token_hash("one"))
    assert row.revoked_at == 7


async def test_another_tenants_token_does_not_exist(principals):
    await principals.create_token("acme", "bot", [READ], token("one"), 5)
    for tenant, name in (("other", "tok_one"), (None, "tok_none")):
        with pytest.raises(TokenNotFound, match=name):
            await principals.revoke(name, 7, tenant)

    row, _ = await principals.find_token(token_hash("one"))
    assert row.revoked_at is None


async def test_tokens_are_listed_oldest_first(principals):
    await principals.create_token("acme", "bot", [READ], token("late"), 9)
    await principals.create_token("acme", "bot", [], token("early"), 5)
    await principals.create_token("other", "bot", [], token("other"), 7)

    assert [row.token_id for row in await principals.list_tokens()] == ["tok_early", "tok_other", "tok_late"]
    assert [row.token_id for row in await principals.list_tokens("other")] == ["tok_other"]


async def test_the_text_of_a_token_is_nowhere_in_the_file(path):
    async with Database.open(path) as db:
        hidden = NewTokenRow(token_id="tok_1", token_hash=token_hash("iw_live_secret"))
        await Principals(db).create_token("acme", "bot", [READ], hidden, 5)

    content = path.read_bytes()
    assert b"tok_1" in content
    assert b"iw_live_secret" not in content
