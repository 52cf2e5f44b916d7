"""Deliveries: which pass, what tells them apart, and what they start."""

from __future__ import annotations

import pytest

from infraweave.core.mapping import fill
from infraweave.core.template import TemplateError
from infraweave.core.triggers import Webhook
from infraweave.core.webhooks import delivery_id, faults, is_genuine, sign, values

SECRET, BODY, NOW = b"a secret of many letters", b'{"id": 7}', 1_767_225_600_000
PLAIN = Webhook(name="h")
TIMED = Webhook(name="h", timestamp_header="X-Timestamp", tolerance=60.0)
STRIPE = Webhook(name="h", signature_header="Stripe-Signature", timestamp_header="Stripe-Signature")
STAMP = str(NOW // 1000)


def genuine(webhook, headers, body=BODY, now=NOW):
    return is_genuine(webhook, SECRET, headers, body, now)


def test_a_signature_of_the_body_passes_however_it_is_spelt():
    signature = sign(SECRET, BODY)

    assert genuine(PLAIN, {"x-signature": f"sha256={signature}"})
    assert genuine(PLAIN, {"x-signature": signature.upper()})
    assert genuine(PLAIN, {"x-signature": f"sha256={'0' * 64}, sha256={signature}"})
    github = Webhook(name="h", signature_header="X-Hub-Signature-256")
    assert genuine(github, {"x-hub-signature-256": f"sha256={signature}"})


@pytest.mark.parametrize(
    "given",
    [
        "",
        "sha256=",
        "sha256",
        "sha256=" + "0" * 64,
        f"sha1={sign(SECRET, BODY)}",
        f"v1={sign(SECRET, BODY)}",
        f"sha256={sign(SECRET, BODY)[:-1]}",
        f"sha256={sign(b'another', BODY)}",
        f"sha256={sign(SECRET, BODY, STAMP)}",
        "sha256=é" + "\udcff".encode("utf-8", "replace").decode(),
        "," * 10_000,
        ",".join(["sha256=" + "0" * 64] * 20 + [f"sha256={sign(SECRET, BODY)}"]),
    ],
)
def test_anything_else_does_not_pass(given):
    assert not genuine(PLAIN, {"x-signature": given})
    assert not genuine(PLAIN, {})


def test_the_time_of_signing_is_signed_too_and_must_be_recent():
    headers = {"x-signature": f"sha256={sign(SECRET, BODY, STAMP)}", "x-timestamp": STAMP}

    assert genuine(TIMED, headers)
    assert genuine(TIMED, headers, now=NOW + 60_000)
    assert not genuine(TIMED, headers, now=NOW + 61_000)
    assert not genuine(TIMED, headers, now=NOW - 61_000)
    assert not genuine(TIMED, {**headers, "x-timestamp": str(int(STAMP) + 1)})
    assert not genuine(TIMED, {"x-signature": headers["x-signature"]})
    assert not genuine(TIMED, {"x-signature": f"sha256={sign(SECRET, BODY)}"})
    assert not genuine(TIMED, {"x-signature": f"sha256={sign(SECRET, BODY, 'soon')}", "x-timestamp": "soon"})


def test_time_and_signature_may_share_a_header():
    signature = sign(SECRET, BODY, STAMP)

    assert genuine(STRIPE, {"stripe-signature": f"t={STAMP},v1={signature},v0=abc"})
    assert not genuine(STRIPE, {"stripe-signature": f"t={STAMP},v0={signature}"})
    assert not genuine(STRIPE, {"stripe-signature": f"v1={signature}"})
    assert not genuine(STRIPE, {"stripe-signature": f"t={STAMP},v1={signature}"}, now=NOW + 301_000)


def test_a_delivery_is_told_apart_by_its_header_or_its_body():
    by_body = Webhook(name="h", delivery="{body.id}")

    assert delivery_id(PLAIN, {"x-delivery-id": "d1"}, {"id": 7}, BODY) == "d1"
    assert delivery_id(by_body, {}, {"id": 7}, BODY) == "7"
    nameless = {
        delivery_id(PLAIN, {}, {}, BODY),
        delivery_id(by_body, {}, {}, BODY),
        delivery_id(by_body, {}, {"id": None}, BODY),
        delivery_id(by_body, {}, None, BODY),
    }
    assert len(nameless) == 1
    assert nameless.pop().startswith("sha256:")
    assert delivery_id(PLAIN, {}, {}, BODY) != delivery_id(PLAIN, {}, {}, BODY + b" ")


def test_the_input_is_mapped_from_body_and_headers():
    given = values({"x-event": "push", "authorization": "Bearer x"}, {"ref": "main", "n": [1]}, "d1")

    assert fill("{body}", given) == {"ref": "main", "n": [1]}
    mapping = {"on": "{headers.x-event}/{body.ref}", "n": ["{body.n}", 5], "id": "{delivery_id}"}
    assert fill(mapping, given) == {"on": "push/main", "n": [[1], 5], "id": "d1"}
    for place in ("{body.gone}", "{headers.authorization}"):
        with pytest.raises(TemplateError, match="leads nowhere"):
            fill({"x": place}, given)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": "a:b"}, "name 'a:b' must be 1 to 128 letters"),
        ({"secret_env": "A=B"}, "secret_env 'A=B' is no name of an environment variable"),
        ({"signature_header": "X Y"}, "signature_header 'X Y' is no name of a header"),
        ({"timestamp_header": ""}, "timestamp_header '' is no name of a header"),
        ({"tolerance": 0.0}, "tolerance is 0.0 s; expected one second to a day"),
        ({"delivery": "X: Y"}, "delivery 'X: Y' is no header's name and no template"),
        ({"delivery": "{nobody.id}"}, "delivery: {nobody.id} names no value; there are body, headers"),
        (
            {"input": {"a": ["{input}"]}},
            "input: {input} names no value; there are body, delivery_id, headers",
        ),
    ],
)
def test_what_is_wrong_is_said(changed, said):
    (fault,) = faults(Webhook(**{"name": "h", **changed}))
    assert said in fault


def test_what_is_right_has_no_faults():
    assert [*faults(PLAIN), *faults(TIMED), *faults(STRIPE)] == []
