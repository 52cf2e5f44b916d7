"""The index of runs: it says what the events say, and lists neither repeat nor skip."""

from __future__ import annotations

import pytest
from attrs import evolve

from infraweave.core.run.events import RunError
from infraweave.store.agenda import Agenda
from infraweave.store.runs import ListedRow, OpenRunsOfVersion, RunFilters, Runs, rebuild

from .histories import entry, failure, opening, status, steps, success, termination


@pytest.fixture
def runs(db):
    return Runs(db)


@pytest.fixture
def agenda(db):
    return Agenda(db)


async def table(db, name):
    return await db.transact(
        lambda connection: connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall()
    )


async def test_a_run_is_listed_as_it_was_started(journal, runs):
    await journal.append(
        [entry(7, opening(tags={"cup": "blue"}, idempotency_key="k", body_digest="d", tracestate="a=b"), 0)]
    )
    run = await runs.get("run_7")

    assert (run.run_key, run.state, run.created_at, run.started_at) == (7, "running", 1000, 1000)
    assert (run.workflow_id, run.by, run.tags, run.tracestate) == ("tea", "ada", {"cup": "blue"}, "a=b")
    assert (run.finished_at, run.cancel_requested, run.forced, run.error) == (None, False, False, None)
    assert run == await runs.get_by_key(7) == await runs.by_idempotency_key("default", "k")


def filters_of_each_statement():
    return (
        RunFilters(),
        RunFilters(workflow_id="tea"),
        RunFilters(states=("running",)),
        RunFilters(tag=("cup", "blue")),
        RunFilters(parent="run_1"),
    )


@pytest.mark.parametrize("filters", filters_of_each_statement())
async def test_lists_show_of_a_run_what_its_row_says(db, journal, runs, filters):
    origin = {"tags": {"cup": "blue", "Ödön": 'a"b\\'}, "parent_run_id": "run_1", "start_at": 5}
    await journal.append([entry(7, opening(**origin), 0)])

    (listed,) = await runs.page("default", filters, limit=2, before=None)
    (stored,) = await db.read("runs_with_seqs", {"run_keys": "[7]"})
    assert listed._asdict() == {name: stored[name] for name in ListedRow._fields}


async def test_what_is_not_there_is_none(runs):
    assert await runs.get("run_7") is None
    assert await runs.get_by_key(7) is None
    assert await runs.by_idempotency_key("default", "k") is None


async def test_a_queued_run_starts_when_it_first_runs(journal, runs):
    await journal.append([entry(1, opening(state="queued"))])
    assert (await runs.get("run_1")).started_at is None

    await journal.append([entry(1, [status(2, "running", 1500)])])
    await journal.append([entry(1, [status(3, "retrying", 1600)])])
    await journal.append([entry(1, [status(4, "running", 1700)])])
    assert (await runs.get("run_1")).started_at == 1500


async def test_what_attempts_have_used_is_summed_over_commits(db, journal, runs):
    def used(seq, tokens):
        return evolve(steps(3, 1)[0], seq=seq, tokens=tokens, cost_micro_usd=10 * tokens)

    first = journal.append([entry(1, [*opening(), used(2, 1), used(3, 2)])])
    await journal.append([entry(1, [used(4, 4)])])
    await first
    await journal.append([entry(1, [used(5, 8), *success(6)])])
    run = await runs.get("run_1")

    assert (run.state, run.tokens, run.cost_micro_usd) == ("succeeded", 15, 150)
    assert await rebuild(db) == []


async def test_a_request_to_cancel_stays(journal, runs):
    await journal.append([entry(1, [*opening(), status(2, "running", cancel_requested=True)])])
    await journal.append([entry(1, [status(3, "retrying")])])
    run = await runs.get("run_1")

    assert (run.state, run.cancel_requested) == ("retrying", True)


@pytest.mark.parametrize(
    ("end", "state", "error", "forced"),
    [
        (success, "succeeded", None, False),
        (
            failure,
            "failed",
            RunError(code="no_water", message="The tap is dry.", node="boil", attempt=3),
            False,
        ),
        (termination, "cancelled", RunError(code="cancelled", message="Terminated."), True),
    ],
)
async def test_the_end_of_a_run(journal, runs, agenda, end, state, error, forced):
    await journal.append([entry(1, opening(), 0)])
    await journal.append([entry(1, end(2), 0)])
    run = await runs.get("run_1")

    assert (run.state, run.finished_at, run.error, run.forced) == (state, 2000, error, forced)
    assert await agenda.urgent() == []


async def test_changes_of_one_run_in_one_commit_come_in_order(journal, runs):
    commits = [
        journal.append([entry(1, opening(state="queued"), 0)]),
        journal.append([entry(1, [status(2, "running", 1100)], 5)]),
        journal.append([entry(1, [status(3, "retrying", 1200), status(4, "running", 1300)], 0)]),
        journal.append([entry(1, success(5))]),
    ]
    for commit in commits:
        await commit
    run = await runs.get("run_1")

    assert (run.state, run.started_at, run.finished_at) == ("succeeded", 1100, 2000)


async def test_the_agenda_says_when_runs_must_be_in_memory(journal, agenda):
    await journal.append([entry(1, opening(), 0), entry(2, opening(), 900), entry(3, opening(), 500)])
    await journal.append([entry(4, opening(), None), entry(5, opening())])
    assert await agenda.urgent() == [1]
    assert await agenda.next_due() == 500
    assert await agenda.due(899, 10) == [3]
    assert await agenda.due(900, 10) == [3, 2]
    assert await agenda.due(900, 1) == [3]

    await journal.append([entry(1, steps(2, 1), None), entry(2, steps(2, 1)), entry(3, success(2))])
    assert await agenda.urgent() == []
    assert await agenda.next_due() == 900


async def fill(journal):
    """Twelve runs: two workflows, three ends, tags, one of another tenant."""
    ends = [None, success, failure]
    for key in range(1, 13):
        end = ends[key % 3]
        first = opening(
            at=1000 + key,
            state="queued" if key == 6 else "running",
            workflow_id="tea" if key % 2 else "coffee",
            workflow_version=f"v{key % 4}",
            trigger="cli" if key == 4 else "api",
            tags={"cup": "blue", "n": str(key)} if key > 6 else {},
            tenant="other" if key == 12 else "default",
        )
        await journal.append([entry(key, first + (end(2) if end else []))])


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ({"states": ["running"]}, [9, 3]),
        ({"states": ["failed"]}, [11, 8, 5, 2]),
        ({"states": ["queued", "failed", "running"]}, [11, 9, 8, 6, 5, 3, 2]),
        ({"states": []}, []),
        ({"workflow_id": "coffee"}, [10, 8, 6, 4, 2]),
        ({"workflow_id": "coffee", "states": ["failed"]}, [8, 2]),
        ({"workflow_id": "coffee", "states": ["failed", "succeeded"]}, [10, 8, 4, 2]),
        ({"workflow_id": "tea", "workflow_version": "v1"}, [9, 5, 1]),
        ({"trigger": "cli"}, [4]),
        ({"tag": ("cup", "blue")}, [11, 10, 9, 8, 7]),
        ({"tag": ("cup", "blue"), "states": ["failed"], "workflow_id": "tea"}, [11]),
        ({"tag": ("n", "9")}, [9]),
        ({"started_after": 1003, "started_before": 1008}, [7, 5, 4]),
        ({"readable": {"coffee"}}, [10, 8, 6, 4, 2]),
        ({"readable": set()}, []),
        ({"readable": {"coffee", "tea"}, "states": ["succeeded"], "workflow_id": "tea"}, [7, 1]),
    ],
)
async def test_lists_are_filtered_and_newest_first(journal, runs, filters, expected):
    await fill(journal)

    assert [run.run_key for run in await runs.list("default", RunFilters(**filters))] == expected


@pytest.mark.parametrize("filters", [{}, {"states": ["running", "succeeded"]}, {"tag": ("cup", "blue")}])
async def test_a_walk_through_a_list_neither_repeats_nor_skips_while_runs_are_added(journal, runs, filters):
    tags = {"cup": "blue"}
    for _ in range(25):
        await journal.append([entry(journal.new_key(), opening(tags=tags))])

    seen, before = [], None
    while page := await runs.list("default", RunFilters(**filters), limit=4, before=before):
        seen += [run.run_key for run in page]
        before = seen[-1]
        await journal.append([entry(journal.new_key(), opening(tags=tags)), entry(before, success(2))])

    assert seen == list(range(25, 0, -1))


async def test_counts(journal, runs):
    await fill(journal)

    assert await runs.counts("default") == {"running": 2, "queued": 1, "succeeded": 4, "failed": 4}
    assert (await runs.counts())["running"] == 3
    assert await runs.open_counts("default") == [
        OpenRunsOfVersion("default", "coffee", "v2", 1),
        OpenRunsOfVersion("default", "tea", "v1", 1),
        OpenRunsOfVersion("default", "tea", "v3", 1),
    ]


async def test_queued_runs_come_in_order_of_creation(journal, runs):
    for key in (3, 1, 2):
        await journal.append([entry(key, opening(state="queued"))])
    await journal.append([entry(1, [status(2, "running")])])

    assert [run.run_key for run in await runs.queued(10)] == [2, 3]
    assert [run.run_key for run in await runs.queued(1)] == [2]


async def test_the_index_rebuilt_from_the_events_is_the_index(db, journal):
    await fill(journal)
    await journal.append([entry(6, [status(2, "running", 1500, cancel_requested=True), *termination(3)])])
    await journal.append([entry(9, steps(2, 50), 700)])
    before = [await table(db, name) for name in ("runs", "run_tags", "agenda")]
    wrong = await rebuild(db)

    assert wrong == []
    assert [await table(db, "runs"), await table(db, "run_tags")] == before[:2]
    assert {(9, 700), (3, 0), (12, 0)} == set(await table(db, "agenda"))


async def test_rebuilding_puts_right_what_was_wrong_and_names_it(db, journal, runs):
    await fill(journal)
    before = await table(db, "runs"), await table(db, "run_tags")

    def harm(connection):
        connection.execute("UPDATE runs SET state = 'queued', finished_at = NULL WHERE run_key = 4")
        connection.execute("DELETE FROM runs WHERE run_key = 5")
        connection.execute("DELETE FROM run_tags")
        connection.execute("INSERT INTO agenda VALUES (7, 0)")

    await db.transact(harm)
    assert await rebuild(db) == ["run_4", "run_5"]
    assert (await table(db, "runs"), await table(db, "run_tags")) == before
    assert await rebuild(db) == []
    assert (7, 0) not in await table(db, "agenda")
