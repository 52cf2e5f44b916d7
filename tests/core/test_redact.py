"""What is not told, and what cannot forge a line."""

import pytest

from infraweave.core.access import make_token
from infraweave.core.data.redact import one_line, redact

TOKEN = make_token("a" * 30)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"got {TOKEN}, sorry", "got iw_live_[redacted], sorry"),
        ("whsec_abcdefghijkl", "whsec_[redacted]"),
        ("Authorization: Bearer sk-proj-1234567890abc", "Authorization: Bearer [redacted]"),
        ("basic dXNlcjpwYXNzd29yZA==", "basic [redacted]"),
        ("GET https://bob:hunter2@host/x", "GET https://[redacted]@host/x"),
    ],
)
def test_secrets_are_left_out(text, told):
    assert redact(text) == told


@pytest.mark.parametrize(
    "text", ["Authorization: Bearer iw_live_… with a valid token", "a bearer of news", "x"]
)
def test_what_is_no_secret_stays(text):
    assert redact(text) == text


def test_redacting_a_long_text_takes_no_time_that_grows_with_its_square():
    for part in ("://a", "://a:", "Bearer ", "iw_live_", "a:b@"):
        redact(part * 100_000)


def test_a_text_is_one_line_whatever_it_holds():
    evil = "a\r\n2026 INFO forged\x1b[31m\x00\u2028\u202e\x85\ud800b"
    shown = one_line(evil, 1_000)
    assert shown.isprintable()
    assert shown.startswith("a\\r\\n2026 INFO forged\\x1b[31m\\x00")
    assert one_line("x" * 50, 10) == "x" * 9 + "…"
