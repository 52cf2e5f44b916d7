"""Schedules and webhooks as authors declare them, and as they stand in the document."""

from __future__ import annotations

import pytest

from infraweave import DeclarationError, Workflow
from infraweave.core.workflow.diff import first_difference
from infraweave.core.workflow.document_codec import content_digest, document_from_json, document_to_json
from infraweave.core.workflow.triggers import Schedule, Webhook
from tests.core.faults import faults


def flow(**more):
    declared = Workflow("w", **{"version": "v1", **more})
    declared.sleep("nap", 1)
    return declared


def test_what_is_declared_stands_in_the_document_without_defaults():
    declared = flow()
    declared.schedule("nightly", cron="30 2 * * *", timezone="Europe/Zurich", input={"day": "{scheduled_at}"})
    declared.schedule("often", every="15m", catch_up="skip", overlap="queue", paused=True)
    declared.webhook("pushed", secret_env="HOOK_SECRET", timestamp_header="X-Timestamp", tolerance="1m")
    document = declared.compile()

    assert document.schedules[1] == Schedule(
        name="often", every=900.0, catch_up="skip", overlap="queue", paused=True
    )
    value = document_to_json(document)
    assert value["schedules"] == [
        {
            "name": "nightly",
            "cron": "30 2 * * *",
            "timezone": "Europe/Zurich",
            "input": {"day": "{scheduled_at}"},
        },
        {"name": "often", "every": 900.0, "catch_up": "skip", "overlap": "queue", "paused": True},
    ]
    assert value["webhooks"] == [
        {"name": "pushed", "secret_env": "HOOK_SECRET", "timestamp_header": "X-Timestamp", "tolerance": 60.0}
    ]
    assert document_from_json(value) == document


def test_a_document_without_triggers_is_what_it_was():
    value = document_to_json(flow().compile())

    assert set(value) == {"workflow_id", "version", "nodes"}
    assert document_from_json(value).schedules == document_from_json(value).webhooks == ()


def test_another_schedule_is_another_content():
    before, after = flow(version=None), flow(version=None)
    after.schedule("s", every="1h")

    assert content_digest(before.compile()) != content_digest(after.compile())
    assert before.compile().version != after.compile().version
    assert first_difference(before.compile(), after.compile()) is not None


def test_a_declaration_after_a_compilation_counts():
    declared = flow()
    declared.compile()
    declared.schedule("s", every="1h")
    assert len(declared.compile().schedules) == 1


def test_every_mistake_is_told_at_once():
    declared = flow()
    declared.schedule("s", cron="99 * * * *", every="soon")
    declared.schedule("s", every=[1])
    declared.schedule("t", cron=5, timezone=None, input=object())
    declared.webhook("h", secret_env="A B", input="{nothing}")
    declared.webhook("h", secret_env=None, tolerance="0s")
    with pytest.raises(DeclarationError) as error:
        declared.compile()

    told = error.value.faults
    for said in (
        "schedule s: every: 'soon' is not a duration",
        "schedule s: every: [1] is not a duration",
        "schedule s: cron '99 * * * *' is not a valid schedule",
        "schedule s: there are several of this name",
        "schedule t: cron is 5; expected text",
        "schedule t: timezone is None; expected text",
        "webhook h: secret_env 'A B' is not a valid name of an environment variable",
        "webhook h: input: {nothing} names no value",
        "webhook h: secret_env must name the variable that holds the secret",
        "webhook h: tolerance is 0.0 s",
        "webhook h: there are several of this name",
    ):
        assert any(fault.startswith(said) for fault in told), (said, told)


def test_an_input_that_the_workflow_does_not_take_is_a_mistake():
    schema = {
        "type": "object",
        "required": ["order_id"],
        "properties": {"at": {"type": "string", "format": "date-time"}},
    }
    declared = Workflow("bill", version="v1", input=schema)
    declared.sleep("nap", 1)
    declared.schedule("nightly", every="24h", input={"at": "{schedule}"})
    declared.schedule("hourly", every="1h", input={"at": "{scheduled_at}", "order_id": "{schedule}"})
    with pytest.raises(DeclarationError) as error:
        declared.compile()

    assert sorted(error.value.faults) == [
        "schedule nightly: its input does not fit: /at must be a valid date-time",
        "schedule nightly: its input does not fit: /order_id is required",
    ]


def test_the_input_of_a_schedule_is_not_held_against_a_schema_that_is_none():
    declared = Workflow("bill", version="v1", input={"type": "thing"})
    declared.sleep("nap", 1)
    declared.schedule("nightly", every="24h")
    with pytest.raises(DeclarationError) as error:
        declared.compile()
    assert [fault.partition(":")[0] for fault in error.value.faults] == ["input"]


def test_an_input_that_json_cannot_carry_is_a_mistake():
    declared = flow()
    declared.schedule("s", every="1h", input={"at": {1, 2}})
    with pytest.raises(DeclarationError, match="schedule s: it cannot be written as JSON"):
        declared.compile()


def test_a_hostile_document_gets_words():
    value = document_to_json(flow().compile())
    value["schedules"] = [{"name": "x" * 5000, "every": -1.0, "timezone": "\0", "anchor": "x"}]
    value["webhooks"] = [{"name": "\n", "secret_env": "X", "delivery": "{"}]
    found = faults(document_from_json(value))

    assert len(found) == 6
    assert all(len(fault) < 500 for fault in found)


def test_a_secret_is_no_part_of_a_webhook():
    assert not [name for name in Webhook.__annotations__ if name == "secret"]
