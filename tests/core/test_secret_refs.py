"""A secret is found in whatever form an answer repeats it."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote

import pytest

from infraweave.core.workflow.secret_refs import SecretRedactor

SECRET = 's3cr/et "key"+äß&\\ 7'
DIGITS = "1234567890123"
HIDDEN = SecretRedactor([SECRET, DIGITS])


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
@pytest.mark.parametrize("after", ["", "z", "zz"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_in_base64_it_is_found_wherever_it_stands_in_what_was_encoded(before, after, encode):
    told = HIDDEN.text(encode((before + SECRET + after).encode()).decode())
    assert "[redacted]" in told
    assert len(told.replace("[redacted]", "")) <= len(encode((before + after).encode())) + 4


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1].replace("/", "\\/"),
        "".join(f"\\u{ord(character):04X}" for character in SECRET),
        quote(SECRET),
        quote(SECRET, safe="").lower(),
        "".join(f"%{byte:02x}" for byte in SECRET.encode()),
        SECRET.replace(" ", "%20").replace("ä", "%c3%A4").replace("7", "%37"),
        html.escape(SECRET),
        "".join(f"&#{ord(character)};" for character in SECRET),
        "".join(f"&#x{ord(character):X};" for character in SECRET),
    ],
)
def test_it_is_found_in_every_mixture_of_escapes(spelled):
    assert HIDDEN.text(f"<{spelled}>") == "<[redacted]>"


@pytest.mark.parametrize(
    "number", [int(DIGITS), -int(DIGITS), float(DIGITS), int(f"9{DIGITS}0"), 1_500_000_000_000.5]
)
def test_digits_are_found_in_numbers(number):
    secret = SecretRedactor([DIGITS, "1500000000000.5"])
    assert secret.value({"a": [number]}) == {"a": ["[redacted]"]}


def test_other_numbers_and_texts_stay():
    value = {"a": [1, 2.5, True, None, "s3cr", "%41 \\u0041 &amp; +"]}
    assert HIDDEN.value(value) == value


def test_a_key_is_a_text_too():
    assert HIDDEN.value({DIGITS: 1}) == {"[redacted]": 1}
