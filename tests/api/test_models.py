"""Workflows whose author writes pydantic models: at the door, between nodes, and for people."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, field_validator

from infraweave import Workflow
from tests.api.conftest import told


class Email(BaseModel):
    by: Literal["email"] = "email"
    address: str


class Text(BaseModel):
    by: Literal["text"] = "text"
    number: int


class Order(BaseModel):
    amount: Annotated[int, Field(gt=0)]
    reach: Email | Text = Field(default_factory=lambda: Text(number=1), discriminator="by")

    @field_validator("amount")
    @classmethod
    def is_even(cls, amount: int) -> int:
        if amount % 2:
            raise ValueError("must be even")
        return amount


class Receipt(BaseModel):
    total: int


class Approval(BaseModel):
    by: str

    @field_validator("by")
    @classmethod
    def is_known(cls, by: str) -> str:
        if by != "ann":
            raise ValueError("is nobody's name")
        return by


def workflow() -> Workflow:
    flow = Workflow("models", version="v1", input=Order)

    @flow.node
    async def split(input: Order) -> list[Receipt]:
        assert isinstance(input.reach, Email | Text)
        return [Receipt(total=input.amount), Receipt(total=1)]

    @flow.map(over="split")
    def add(receipt: Receipt) -> Receipt:
        return Receipt(total=receipt.total + 1)

    @flow.human_input(schema=Approval)
    def sign(add: list[Receipt]) -> str:
        return f"Sign {sum(one.total for one in add)}?"

    @flow.node
    def close(add: list[Receipt], sign: Approval) -> dict[str, Receipt]:
        return {sign.by: add[0]}

    return flow


@pytest.fixture
async def api(serve, api_of):
    async with serve(workflow()) as server, api_of(server) as admin:
        yield admin


async def test_models_go_from_the_door_through_a_map_and_a_person_to_the_result(api):
    answer = await api.post("/v1/runs", {"workflow_id": "models", "input": {"amount": 4}})
    run_id = answer.json()["run_id"]
    await api.until(run_id, "input_requested")
    assert (await api.post(f"/v1/runs/{run_id}/signals/sign", {"payload": {"by": "ann"}})).status_code == 202
    await api.until(run_id, "completed", "failed")
    assert (await api.get(f"/v1/runs/{run_id}/result")).json()["result"] == {"ann": {"total": 5}}


@pytest.mark.parametrize(
    ("given", "path", "message"),
    [
        ({"amount": 3}, "/amount", "Value error, must be even"),
        ({"amount": 0}, "/amount", "0 is less than or equal to the minimum of 0"),
        ({"amount": "4"}, "/amount", "must be an integer"),
        ({"amount": 4, "reach": {"by": "text"}}, "/reach/number", "is required"),
    ],
)
async def test_what_a_model_refuses_is_422_with_its_place(api, given, path, message):
    answer = await api.post("/v1/runs", {"workflow_id": "models", "input": given})
    assert told(answer) == (422, "input_invalid")
    assert [detail["path"] for detail in answer.json()["error"]["details"]] == [path]


async def test_an_answer_that_its_model_refuses_leaves_the_request_open(api):
    run_id = (await api.post("/v1/runs", {"workflow_id": "models", "input": {"amount": 4}})).json()["run_id"]
    await api.until(run_id, "input_requested")
    answer = await api.post(f"/v1/runs/{run_id}/signals/sign", {"payload": {"by": "bob"}})
    assert told(answer) == (422, "payload_invalid")
    assert answer.json()["error"]["details"] == [{"path": "/by", "message": "Value error, is nobody's name"}]
    assert len((await api.get(f"/v1/runs/{run_id}")).json()["waiting_for"]) == 1


async def test_the_schema_of_a_model_is_the_input_schema_of_the_version(api):
    document = (await api.get("/v1/workflows/models/versions/v1")).json()
    assert "exclusiveMinimum" in str(document)
