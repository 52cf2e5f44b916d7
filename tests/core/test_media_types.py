"""Bodies of responses: what they are read as."""

from __future__ import annotations

import pytest

from infraweave.core.data.media_types import decode_body, decode_text, is_json


@pytest.mark.parametrize(
    ("text", "encoding", "said"),
    [
        ("hé", "latin-1", "text/plain; charset=latin1"),
        ("hé", "latin-1", 'text/plain; charset="ISO-8859-1"'),
        ("привет", "cp1251", "text/plain; charset=windows-1251"),
        ("中文", "big5", "text/html; charset=big5; x=y"),
        ("한글", "euc-kr", "text/html;charset=EUC-KR"),
        ("hé", "utf-16", "text/plain; charset=utf-16"),
        ("hé", "utf-16", "text/plain"),
        ("hé", "utf-8-sig", "text/plain"),
        ("hé", "utf-8-sig", "text/plain; charset=iso-8859-1"),
        ("hé", "utf-8", "text/plain; charset=nonsense"),
        ("hé", "utf-8", "text/plain; charset=unicode_escape"),
        ("hé", "utf-8", "text/plain; charset=é"),
        ("hé", "utf-8", "text/plain; charset="),
    ],
)
def test_text_is_read_by_its_mark_or_by_what_its_type_says(text, encoding, said):
    assert decode_text(text.encode(encoding), said) == text


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", "application/json"),
        ("utf-8-sig", "application/json; charset=utf-8"),
        ("latin-1", "Application/JSON; charset=ISO-8859-1"),
        ("utf-16", "application/problem+json"),
        ("utf-8", "text/json"),
    ],
)
def test_json_is_read_likewise(encoding, said):
    assert is_json(said)
    assert decode_body('{"a":"hé"}'.encode(encoding), said) == {"a": "hé"}


@pytest.mark.parametrize("body", [b"\xe9", b"\xef\xbb\xbf", b"{", b"\xff\xfe\xff", b'"\\ud800"'])
def test_what_should_be_json_and_is_not_is_told(body):
    with pytest.raises(ValueError, match="its body is not JSON: "):
        decode_body(body, "application/json")


@pytest.mark.parametrize(
    ("body", "said", "value"),
    [
        (b"\x89PNG\xff", "image/png", "iVBOR/8="),
        (b"plain", "application/octet-stream", "plain"),
        (b"\xff", "", "/w=="),
        (b"h\xe9", "application/xml; charset=latin-1", "hé"),
        (b"h\xff", "text/plain", "h\ufffd"),
        (b"", "image/png", None),
    ],
)
def test_what_is_no_text_stands_in_base64(body, said, value):
    assert decode_body(body, said) == value
