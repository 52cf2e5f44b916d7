"""JSON of other programs is read as it comes: what it holds beyond our own rules makes no call fail."""

from __future__ import annotations

import json

import orjson
import pytest

from infraweave.core.data.foreign_json import limit_depth, parse


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'{"a": 123456789012345678901234567890}', {"a": "123456789012345678901234567890"}),
        (b"[9223372036854775807, 9223372036854775808]", [9223372036854775807, "9223372036854775808"]),
        (b"[-9223372036854775808, -9223372036854775809]", [-9223372036854775808, "-9223372036854775809"]),
        (b"[1e400, -1e400, 1e300]", ["1e400", "-1e400", 1e300]),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'{"t": "1234567890123456789012"}', {"t": "1234567890123456789012"}),
        (b" [1.5, true, null] ", [1.5, True, None]),
    ],
)
def test_what_means_something_is_read(body, value):
    found = parse(body)
    assert found == value
    assert orjson.loads(orjson.dumps(found)) == value


@pytest.mark.parametrize("body", [b"{", b'"\\ud800"', b"[NaN]", b"nonsense", b"[1,]", b"\xff"])
def test_what_is_no_json_is_none(body):
    with pytest.raises(ValueError, match=r"."):
        parse(body)


@pytest.mark.parametrize("levels", [65, 254, 900, 100_000])
def test_however_deep_it_is_it_is_kept_and_can_be_stored(levels):
    body = b"[" * levels + b"]" * levels
    kept = limit_depth(parse(body))
    again = orjson.dumps(kept)
    if levels <= 100:
        assert again == body
    elif levels <= 254:
        rest = kept
        for _ in range(100):
            (rest,) = rest
        assert json.loads(rest) == parse(body[100 : levels + levels - 100])
