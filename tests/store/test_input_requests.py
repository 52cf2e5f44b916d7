"""The list of what people are asked: it says what the events say, in the order of asking."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from infraweave.store import input_requests
from infraweave.store.input_requests import InputRequests
from infraweave.store.runs import rebuild
from infraweave.store.sqlite.database import Database

from .histories import answering, asking, entry, opening, steps, success, termination

KEPT = Path(__file__).parents[1] / "journals"


@pytest.fixture
def requests(db):
    return InputRequests(db)


def ids(page):
    return [(each.run_id, each.event.request_id) for each in page.requests]


async def fill(journal):
    """Runs of two workflows and two tenants; of what they ask, four things of ours are open."""
    await journal.append([entry(1, [*opening(), asking(2)]), entry(2, [*opening(), asking(2)])])
    await journal.append([entry(4, [*opening(tenant="other"), asking(2)])])
    await journal.append([entry(3, [*opening(workflow_id="coffee"), asking(2, at=1), asking(3, data="hot")])])
    await journal.append([entry(2, [answering(3, 2), asking(4)])])
    await journal.append([entry(5, [*opening(), asking(2), answering(3, 2), *success(4)])])
    await journal.append([entry(6, [*opening(), asking(2)])])
    await journal.append([entry(6, [answering(3, 2, outcome="withdrawn"), *termination(4)])])


async def test_they_come_in_the_order_of_asking_whatever_the_clock_said(journal, requests):
    await fill(journal)
    page = await requests.list("default")

    assert ids(page) == [("run_1", "inp_2"), ("run_3", "inp_2"), ("run_3", "inp_3"), ("run_2", "inp_4")]
    assert [each.event for each in page.requests][1:3] == [asking(2, at=1), asking(3, data="hot")]
    assert {(each.workflow_id, each.workflow_version) for each in page.requests} == {
        ("tea", "v1"),
        ("coffee", "v1"),
    }
    assert not page.more
    assert await requests.count("default") == 4


async def test_they_are_of_one_tenant_and_of_the_workflows_that_are_meant(journal, requests):
    await fill(journal)
    for tenant, workflows, found in [
        ("other", None, ["run_4"]),
        ("nobody", None, []),
        ("default", {"coffee"}, ["run_3", "run_3"]),
        ("default", {"tea"}, ["run_1", "run_2"]),
        ("default", {"tea", "coffee"}, ["run_1", "run_3", "run_3", "run_2"]),
        ("default", {"tea", "water"}, ["run_1", "run_2"]),
        ("default", set(), []),
        ("other", {"coffee"}, []),
    ]:
        page = await requests.list(tenant, workflows)
        assert [run_id for run_id, _ in ids(page)] == found
        assert await requests.count(tenant, workflows) == len(found)


async def test_pages_end_where_they_are_told_to(journal, requests):
    await fill(journal)
    pages, after = [], 0
    while True:
        page = await requests.list("default", limit=3, after=after)
        pages.append(ids(page))
        if not page.more:
            break
        after = page.requests[-1].event_key

    assert [len(page) for page in pages] == [3, 1]


async def test_a_page_of_large_requests_ends_early_but_never_before_one(journal, requests, monkeypatch):
    monkeypatch.setattr(input_requests, "PAGE_BYTES", 1000)
    events = [asking(seq, data="x" * 600) for seq in (2, 3, 4)]
    await journal.append([entry(1, [*opening(), *events, asking(5, data="x" * 5000)])])
    sizes, after, more = [], 0, True
    while more:
        page = await requests.list("default", after=after)
        sizes.append(len(page.requests))
        after, more = page.requests[-1].event_key, page.more

    assert sizes == [2, 2]


async def test_what_is_rebuilt_is_what_was(db, journal, requests):
    await fill(journal)
    before = await requests.list("default")

    assert await rebuild(db) == []
    assert await requests.list("default") == before


async def test_a_run_that_asks_nobody_writes_nothing_of_it(db, journal):
    seen = []
    db.listen(lambda written: seen.extend(written))
    await journal.append([entry(1, [*opening(), *steps(2, 2), *success(4)])])

    assert [(rows.input_requests, rows.resolved_requests) for rows in seen] == [((), ())]


async def test_a_file_from_before_is_given_the_list(tmp_path):
    lists = []
    for version in (5, 9):  # the list came with 6, and both files hold the same runs
        path = shutil.copy(KEPT / f"schema-{version}.db", tmp_path)
        async with Database.open(path) as db:
            lists.append((await InputRequests(db).list("default")).requests)

    asked = [[(one.workflow_id, one.event.node, one.event.prompt) for one in requests] for requests in lists]
    assert asked[0] == asked[1] != []
