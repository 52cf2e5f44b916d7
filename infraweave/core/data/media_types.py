"""Decodes the bodies of responses by their Content-Type or byte order mark."""

from __future__ import annotations

import codecs
from base64 import b64encode

from infraweave.core.data import foreign_json
from infraweave.core.data.values import Json

#: The Python names of accepted encodings. Python has others, some of them slow or not for text.
_ENCODINGS = frozenset(
    {
        "ascii",
        *(f"iso8859-{part}" for part in range(1, 17)),
        *(f"cp{page}" for page in (866, 874, 932, 949, *range(1250, 1259))),
        *("koi8-r", "koi8-u", "mac-roman", "tis-620"),
        *("shift_jis", "euc_jp", "iso2022_jp", "euc_kr", "gb2312", "gbk", "gb18030", "big5", "big5hkscs"),
        *("utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32"),
    }
)
#: Byte order marks; they take precedence over the Content-Type.
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def is_json(content_type: str) -> bool:
    """Tell whether a content type is JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("application/json", "text/json") or kind.endswith("+json")


def decode_body(body: bytes, content_type: str) -> Json:
    """Return the value of a body: JSON by its type, else text, else base64; null where it is empty.

    Raises:
        ValueError: its type is JSON, but it does not parse; the message is for people.
    """
    if not body:
        return None
    encoding = _encoding(body, content_type)
    if not is_json(content_type):
        return decode_text(body, content_type) if _is_text(content_type) else _text_or_base64(body, encoding)
    try:
        return foreign_json.parse(body if encoding == "utf-8" else body.decode(encoding).encode())
    except ValueError as error:
        raise ValueError(f"its body is not JSON: {error}") from error


def decode_text(body: bytes, content_type: str) -> str:
    """Return a body as text; bytes that do not decode are replaced."""
    return body.decode(_encoding(body, content_type), errors="replace")


def _is_text(content_type: str) -> bool:
    return content_type.strip().lower().startswith("text/")


def _text_or_base64(body: bytes, encoding: str) -> str:
    try:
        return body.decode(encoding)
    except UnicodeDecodeError:
        return b64encode(body).decode()


def _encoding(body: bytes, content_type: str) -> str:
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return encoding
    named = content_type.lower().partition("charset=")[2].partition(";")[0].strip(" \"'")
    try:
        found = codecs.lookup(named).name if named.isascii() and "\0" not in named else ""
    except LookupError:
        found = ""
    return found if found in _ENCODINGS else "utf-8"
