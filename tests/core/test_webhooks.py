"""Deliveries: which pass, what tells them apart, and what they start."""

from __future__ import annotations

from base64 import b64encode

import pytest

from infraweave.core.data.template import TemplateError, render_json
from infraweave.core.workflow.triggers import Webhook
from infraweave.core.workflow.webhooks import (
    delivery_id,
    faults,
    is_authentic,
    sign,
    signing_key,
    template_values,
)

SECRET, BODY, NOW = b"a secret of many letters", b'{"id": 7}', 1_767_225_600_000
PLAIN = Webhook(name="h")
TIMED = Webhook(name="h", timestamp_header="X-Timestamp", tolerance=60.0)
STRIPE = Webhook(name="h", signature_header="Stripe-Signature", timestamp_header="Stripe-Signature")
STANDARD = Webhook(name="h", scheme="standard")
STAMP = str(NOW // 1000)


def genuine(webhook, headers, body=BODY, now=NOW):
    return is_authentic(webhook, SECRET, headers, body, now)


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


def test_a_signature_may_stand_in_base64():
    shop = Webhook(name="h", scheme="base64", signature_header="X-Shopify-Hmac-Sha256")
    signature = b64encode(bytes.fromhex(sign(SECRET, BODY))).decode()

    assert signature.endswith("=")
    assert genuine(shop, {"x-shopify-hmac-sha256": signature})
    assert not genuine(shop, {"x-shopify-hmac-sha256": signature.lower()})
    assert not genuine(shop, {"x-shopify-hmac-sha256": sign(SECRET, BODY)})
    assert not genuine(shop, {})
    timed = Webhook(name="h", scheme="base64", timestamp_header="X-Timestamp")
    signed = b64encode(bytes.fromhex(sign(SECRET, BODY, STAMP))).decode()
    assert genuine(timed, {"x-signature": signed, "x-timestamp": STAMP})
    assert not genuine(timed, {"x-signature": signed, "x-timestamp": STAMP}, now=NOW + 301_000)


# What the senders' own library makes of its documented example.
EXAMPLE_BODY, EXAMPLE_TIME = b'{"test": 2432232314}', 1_614_265_330_000
EXAMPLE_KEY = signing_key("standard", b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
EXAMPLE = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


def is_standard(now=EXAMPLE_TIME, body=EXAMPLE_BODY, key=EXAMPLE_KEY, **changed):
    headers = {**EXAMPLE, **{f"webhook-{name}": value for name, value in changed.items()}}
    return is_authentic(STANDARD, key, headers, body, now)


def test_standard_webhooks_pass_and_are_told_apart_by_their_id():
    signature = EXAMPLE["webhook-signature"]

    assert is_standard()
    assert is_standard(signature=f"v1,AAAA v1a,BBBB {signature}")
    assert is_standard(now=EXAMPLE_TIME - 300_000)
    own_name = {name.replace("webhook", "svix"): value for name, value in EXAMPLE.items()}
    assert is_authentic(STANDARD, EXAMPLE_KEY, own_name, EXAMPLE_BODY, EXAMPLE_TIME)
    assert delivery_id(STANDARD, EXAMPLE, {}, BODY) == delivery_id(STANDARD, own_name, {}, BODY)
    assert delivery_id(STANDARD, EXAMPLE, {}, BODY) == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    by_body = Webhook(name="h", scheme="standard", delivery="{body.id}")
    assert delivery_id(by_body, EXAMPLE, {"id": 7}, BODY) == "7"


@pytest.mark.parametrize(
    "changed",
    [
        {"body": EXAMPLE_BODY + b" "},
        {"key": b"another key of some bytes"},
        {"now": EXAMPLE_TIME + 301_000},
        {"now": EXAMPLE_TIME - 301_000},
        {"id": "msg_other"},
        {"id": ""},
        {"timestamp": "1614265331"},
        {"timestamp": ""},
        {"signature": ""},
        {"signature": "v1,"},
        {"signature": "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
        {"signature": "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
        {"signature": "v1,AAAA " * 1000 + EXAMPLE["webhook-signature"]},
        {"signature": "v1,é v1,\x00"},
    ],
)
def test_what_differs_from_standard_webhooks_does_not_pass(changed):
    assert not is_standard(**changed)


@pytest.mark.parametrize("secret", [b"whsec_", b"a secret of many letters", b"whsec_c2hvcnQ=", b"\xff" * 30])
def test_a_secret_that_is_no_key_in_base64_is_refused(secret):
    with pytest.raises(ValueError, match="expected whsec_ and at least 16 bytes in base64"):
        signing_key("standard", secret)
    assert signing_key("hex", secret) == secret


def test_a_delivery_is_told_apart_by_its_header_or_its_body():
    by_body = Webhook(name="h", delivery="{body.id}")
    by_both = Webhook(name="h", delivery="{body.id}-{headers.x}")

    assert delivery_id(by_both, {"x": "b"}, {"id": 7}, BODY) == "7-b"
    assert delivery_id(PLAIN, {"x-delivery-id": "d1"}, {"id": 7}, BODY) == "d1"
    assert delivery_id(by_body, {}, {"id": 7}, BODY) == "7"
    nameless = {
        delivery_id(PLAIN, {}, {}, BODY),
        delivery_id(by_body, {}, {}, BODY),
        delivery_id(by_body, {}, {"id": None}, BODY),
        delivery_id(by_body, {}, None, BODY),
        delivery_id(by_both, {"x": "b"}, {"id": None}, BODY),
        delivery_id(by_both, {}, {"id": 7}, BODY),
    }
    assert len(nameless) == 1
    assert nameless.pop().startswith("sha256:")
    assert delivery_id(PLAIN, {}, {}, BODY) != delivery_id(PLAIN, {}, {}, BODY + b" ")


def test_the_input_is_mapped_from_body_and_headers():
    given = template_values({"x-event": "push", "authorization": "Bearer x"}, {"ref": "main", "n": [1]}, "d1")

    assert render_json("{body}", given) == {"ref": "main", "n": [1]}
    mapping = {"on": "{headers.x-event}/{body.ref}", "n": ["{body.n}", 5], "id": "{delivery_id}"}
    assert render_json(mapping, given) == {"on": "push/main", "n": [[1], 5], "id": "d1"}
    for place in ("{body.gone}", "{headers.authorization}"):
        with pytest.raises(TemplateError, match="leads nowhere"):
            render_json({"x": place}, given)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": "a:b"}, "name 'a:b' must be 1 to 128 letters"),
        ({"secret_env": "A=B"}, "secret_env 'A=B' is not a valid name of an environment variable"),
        ({"signature_header": "X Y"}, "signature_header 'X Y' is not a valid header name"),
        ({"timestamp_header": ""}, "timestamp_header '' is not a valid header name"),
        ({"scheme": "sha1"}, "scheme is 'sha1'; expected hex, base64, standard"),
        (
            {"scheme": "standard", "signature_header": "X-Mine"},
            "signature_header goes with the schemes hex and base64",
        ),
        ({"scheme": "standard", "timestamp_header": "X-Mine"}, "timestamp_header goes with the schemes hex"),
        (
            {"scheme": "base64", "timestamp_header": "x-signature"},
            "timestamp_header is the same as signature_header, which only the scheme hex allows",
        ),
        ({"tolerance": 0.0}, "tolerance is 0.0 s; expected one second to a day"),
        ({"delivery": "X: Y"}, "delivery is 'X: Y'; expected the name of a header, or a template"),
        ({"delivery": "{nobody.id}"}, "delivery: {nobody.id} names no value; there are body, headers"),
        (
            {"input": {"a": ["{input}"]}},
            "input: {input} names no value; there are body, delivery_id, headers",
        ),
    ],
)
def test_what_is_wrong_is_said(changed, said):
    (fault,) = faults(Webhook(**{"name": "h", **changed}))
    assert said in fault.message


def test_what_is_right_has_no_faults():
    assert [*faults(PLAIN), *faults(TIMED), *faults(STRIPE), *faults(STANDARD)] == []
