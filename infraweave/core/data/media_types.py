"""Bodies of responses as values, read by what their Content-Type says or the mark they begin with."""

from __future__ import annotations

import codecs
from base64 import b64encode

from infraweave.core.data import foreign_json
from infraweave.core.data.values import Json

#: What Python calls the encodings of responses; it knows others, some of them slow or no text at all.
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
#: Marks that tell the encoding, whatever the Content-Type says.
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def is_json(content_type: str) -> bool:
    """Tell whether a content type is JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("application/json", "text/json") or kind.endswith("+json")


def decode_body(body: bytes, content_type: str) -> Json:
    """Return a body: JSON where its type says so, else text, or base64 where it is none; null without one.

    Raises:
        ValueError: it should be JSON and is not; the message is fit for people.
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
    """Return a body as text; what cannot be read is replaced."""
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
