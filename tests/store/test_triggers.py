"""Schedules and webhooks in the table: which version declares them, and how far a schedule has come."""

from __future__ import annotations

import asyncio

import pytest
from attrs import evolve

from infraweave.core.workflow.triggers import Schedule, Webhook
from infraweave.errors import WebhookConflict
from infraweave.store.documents import Documents
from infraweave.store.schedules import Schedules
from infraweave.store.webhooks import WebhookRow, Webhooks

from .test_documents import tea

HOURLY = Schedule(name="hourly", every=3600.0)
RUNG = Webhook(name="rung", secret_env="TEA_SECRET")
KEY = ("default", "tea:hourly")


@pytest.fixture
def documents(db):
    return Documents(db)


@pytest.fixture
def schedules(db):
    return Schedules(db)


@pytest.fixture
async def hourly(documents, schedules):
    """A schedule whose next time is 100."""
    await documents.publish("default", tea(), 5)
    return await schedules.create("default", "tea", HOURLY, 100)


def declaring(version="v1", *, schedules=(), webhooks=(), workflow_id="tea"):
    return evolve(tea(version, workflow_id=workflow_id), schedules=schedules, webhooks=webhooks)


async def test_a_load_that_replaces_a_version_replaces_what_it_declares(documents, schedules):
    await documents.load("default", declaring(schedules=(HOURLY,)), 5)
    await documents.load("default", declaring(schedules=(evolve(HOURLY, every=60.0),)), 6)
    (row,) = await schedules.list("default", "tea")
    assert (row.schedule.every, row.declared_in) == (60.0, "v1")
    await documents.load("default", declaring(), 7)
    assert await schedules.list() == []


async def test_a_version_that_is_not_active_declares_nothing(documents, schedules):
    await documents.publish("default", declaring("v1", schedules=(HOURLY,)), 5)
    await documents.publish("default", declaring("v2"), 6)
    assert len(await schedules.list()) == 1
    await documents.set_active("default", "tea", "v2")
    assert await schedules.list() == []


async def test_the_same_times_keep_their_place_over_versions_and_others_begin_anew(documents, schedules):
    declared = (HOURLY, evolve(HOURLY, name="other"))
    await documents.publish("default", declaring("v1", schedules=declared), 5)
    for row in await schedules.list():
        await schedules.record_due(row, None, (), 100)
    changed = (evolve(HOURLY, input={"cups": 2}), evolve(HOURLY, name="other", every=60.0))
    await documents.publish("default", declaring("v2", schedules=changed), 6, activate=True)

    assert {row.schedule.name: row.next_at for row in await schedules.list()} == {
        "hourly": 100,
        "other": None,
    }


async def test_a_time_that_has_come_is_noted_once(schedules, hourly):
    first = await schedules.record_due(hourly, 100, (100,), 200)
    assert (first.waiting, first.next_at) == ((100,), 200)
    assert await schedules.record_due(hourly, 100, (100,), 200) is None
    assert (await schedules.record_outcome(KEY, 100, run_id="run_1")).running == ("run_1",)
    again = await schedules.record_outcome(KEY, 100, run_id="run_1", ended=["run_1"])
    assert (again.waiting, again.running, again.last_at) == ((), ("run_1",), 100)


async def test_what_has_changed_meanwhile_is_not_noted(schedules, hourly):
    await schedules.replace(*KEY, evolve(HOURLY, every=60.0), 100)
    assert await schedules.record_due(hourly, 100, (100,), 200) is None
    paused = await schedules.pause(*KEY)
    assert await schedules.record_due(paused, None, (100,), 200) is None
    await schedules.delete(*KEY)
    assert await schedules.record_due(paused, None, (100,), 200) is None
    assert await schedules.record_outcome(KEY, 100) is None


async def test_a_workflow_may_take_over_a_schedule_of_its_own_but_no_others_webhook(db, documents, schedules):
    webhooks = Webhooks(db)
    await documents.publish("default", tea(), 5)
    await documents.publish("default", tea(workflow_id="milk"), 5)
    await schedules.create("default", "tea", HOURLY, 100)
    await webhooks.create(WebhookRow(tenant="default", workflow_id="milk", webhook=RUNG, secret="s"))

    taking = declaring("v2", schedules=(HOURLY,))
    await documents.publish("default", taking, 6, activate=True)
    assert (await schedules.get(*KEY)).declared_in == "v2"
    with pytest.raises(WebhookConflict, match="for the workflow milk: it was created through the API"):
        await documents.publish("default", declaring("v3", webhooks=(RUNG,)), 7, activate=True)
    assert await documents.get("default", "tea", "v3") is None
    assert await documents.active_version("default", "tea") == "v2"


async def test_a_secret_shows_in_no_repr(db):
    row = WebhookRow(tenant="default", workflow_id="tea", webhook=RUNG, secret="hush")
    assert "hush" not in repr(row)


async def test_two_workflows_cannot_declare_one_webhook_even_at_once(db, documents):
    both = [declaring(webhooks=(RUNG,), workflow_id=name) for name in ("tea", "milk")]
    done = await asyncio.gather(
        *(documents.publish("default", one, 5) for one in both), return_exceptions=True
    )
    assert [type(one) for one in done].count(WebhookConflict) == 1
    assert len(await Webhooks(db).list("default")) == 1
