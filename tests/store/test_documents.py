"""Versions: immutable once used, replaceable by a load before, and roll-backs that survive restarts."""

from __future__ import annotations

import pytest
from attrs import evolve

from infraweave.core.workflow.document import Activity, Document, Param, Router
from infraweave.errors import VersionConflict, VersionNotFound, WorkflowNotFound
from infraweave.store.documents import Documents, Version, WorkflowVersions
from infraweave.store.sqlite.database import Database

from .histories import entry, opening, success


@pytest.fixture
def documents(db):
    return Documents(db)


def tea(version="v1", *, timeout=None, workflow_id="tea"):
    boil = Activity(name="boil", code="tea:boil", timeout=timeout, params=(Param("input", "input"),))
    pour = Activity(name="pour", code="tea:pour", params=(Param("boil", "boil"),))
    return Document(workflow_id=workflow_id, version=version, nodes=(boil, pour))


async def test_a_document_comes_back_as_it_was(documents):
    await documents.publish("default", tea(), 5)

    assert await documents.get("default", "tea", "v1") == tea()
    assert await documents.get("default", "tea", "v2") is None
    assert await documents.get("other", "tea", "v1") is None


async def test_the_first_version_becomes_active_and_later_ones_when_asked(documents):
    first = await documents.publish("default", tea("v1"), 5)
    second = await documents.publish("default", tea("v2"), 6)
    third = await documents.publish("default", tea("v3"), 7, activate=True)

    assert [done.active_version for done in (first, second, third)] == ["v1", "v1", "v3"]
    assert [done.previous for done in (first, second, third)] == [None, "v1", "v1"]
    assert await documents.active_version("default", "tea") == "v3"
    assert await documents.active_version("default", "coffee") is None


async def test_publishing_the_same_again_changes_nothing(documents):
    assert (await documents.publish("default", tea(), 5)).created
    assert not (await documents.publish("default", tea(), 6)).created
    reordered = evolve(tea(), nodes=tea().nodes[::-1])
    assert not (await documents.publish("default", reordered, 7)).created

    assert await documents.get("default", "tea", "v1") == tea()


async def test_a_publication_never_replaces(documents):
    await documents.publish("default", tea(), 5)

    with pytest.raises(
        VersionConflict, match=r"tea v1 exists with different content \(node boil: timeout is 3, was null\)"
    ):
        await documents.publish("default", tea(timeout=3.0), 6)
    assert await documents.get("default", "tea", "v1") == tea()


async def test_a_load_may_replace_what_no_run_has_used(documents):
    await documents.load("default", tea(), 5)
    again = await documents.load("default", tea(timeout=3.0), 6)

    assert (again.created, again.replaced) == (False, True)
    assert await documents.get("default", "tea", "v1") == tea(timeout=3.0)


async def test_a_load_may_not_replace_what_a_run_has_used(documents, journal):
    await documents.load("default", tea(), 5)
    await documents.load("other", tea(), 5)
    await journal.append([entry(1, opening() + success(2))])

    with pytest.raises(VersionConflict, match="give the changed workflow a new version"):
        await documents.load("default", tea(timeout=3.0), 6)
    assert await documents.get("default", "tea", "v1") == tea()
    assert (await documents.load("other", tea(timeout=3.0), 6)).replaced
    assert not (await documents.load("default", tea(), 7)).replaced


def typed(routes=("a", "b"), *, late=None, **schema):
    """Return a document with a schema of its input, with a default where ``late`` is given."""
    tags = {"type": "array", **({} if late is None else {"default": late})}
    pick = Router(name="pick", code="typed:pick", routes=routes, params=(Param("input", "input"),))
    return Document(
        workflow_id="typed",
        version="v1",
        input_schema={"type": "object", "properties": {"tags": tags}, **schema},
        nodes=(pick, *(Activity(name=name, code=f"typed:{name}") for name in "ab")),
    )


async def test_a_file_that_an_earlier_release_compiled_loads_unchanged(documents, journal):
    before, after = typed(("b", "a")), typed(late=[])
    await documents.load("default", before, 5)
    await journal.append([entry(1, opening(workflow_id="typed"))])

    assert await documents.conflict("default", after) is None
    assert not (await documents.load("default", after, 6)).replaced
    assert await documents.get("default", "typed", "v1") == before


@pytest.mark.parametrize(
    "changed",
    [
        typed(late=[], required=["tags"]),
        typed(("a", "c"), late=[]),
        typed(properties={"tags": {"type": "array"}, "default": {"type": "string"}}),
    ],
)
async def test_a_changed_file_is_no_recompiled_one(documents, journal, changed):
    await documents.load("default", typed(), 5)
    await journal.append([entry(1, opening(workflow_id="typed"))])

    assert await documents.conflict("default", changed)
    with pytest.raises(VersionConflict):
        await documents.load("default", changed, 6)


async def test_a_default_that_changes_is_another_content(documents, journal):
    await documents.load("default", typed(late=[]), 5)
    await journal.append([entry(1, opening(workflow_id="typed"))])

    for changed in (typed(late=["x"]), typed()):
        with pytest.raises(VersionConflict):
            await documents.load("default", changed, 6)


async def test_a_rollback_survives_restarts_until_the_file_declares_another_version(path):
    async def load(version):
        async with Database.open(path) as db:
            return (await Documents(db).load("default", tea(version), 5)).active_version

    assert [await load("v1"), await load("v2")] == ["v1", "v2"]
    async with Database.open(path) as db:
        await Documents(db).set_active("default", "tea", "v1")

    assert [await load("v2"), await load("v2"), await load("v3"), await load("v2")] == [
        "v1",
        "v1",
        "v3",
        "v2",
    ]


async def test_a_superseded_load_moves_no_pointer(documents):
    await documents.load("default", tea("v1"), 5, superseded=True)
    await documents.load("default", tea("v2"), 5)
    await documents.set_active("default", "tea", "v1")
    again = [
        await documents.load("default", tea("v1"), 6, superseded=True),
        await documents.load("default", tea("v2"), 6),
    ]

    assert [done.active_version for done in again] == ["v1", "v1"]


async def test_only_what_exists_can_be_activated(documents):
    await documents.publish("default", tea(), 5)

    with pytest.raises(VersionNotFound, match="tea has no version v9"):
        await documents.set_active("default", "tea", "v9")
    with pytest.raises(WorkflowNotFound, match="coffee"):
        await documents.set_active("default", "coffee", "v1")


async def test_lists_tell_versions_and_their_open_runs(documents, journal):
    for number, version in enumerate(("v1", "v10", "v2")):
        await documents.publish("default", tea(version), number)
    await documents.publish("default", tea(workflow_id="coffee"), 9)
    await documents.publish("other", tea("v7"), 9)
    await documents.set_active("default", "tea", "v10")
    await journal.append([entry(1, opening()), entry(2, opening()), entry(3, opening() + success(2))])

    assert await documents.list("default") == [
        WorkflowVersions("coffee", "v1", ("v1",)),
        WorkflowVersions("tea", "v10", ("v1", "v10", "v2")),
    ]
    assert await documents.versions("default", "tea") == [
        Version("v1", 0, active=False, open_runs=2),
        Version("v10", 1, active=True, open_runs=0),
        Version("v2", 2, active=False, open_runs=0),
    ]
    assert await documents.versions("default", "milk") == []
