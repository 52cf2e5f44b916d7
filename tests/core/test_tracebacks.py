"""Where a traceback says that it happened."""

from __future__ import annotations

import pytest

from infraweave.core.run.tracebacks import innermost_place

PLAIN = """Traceback (most recent call last):
  File "flows.py", line 12, in z
    return helper(input)
  File "lib/help.py", line 3, in helper
    return d['nope']
KeyError: 'nope'"""
IN_A_LIBRARY = """Traceback (most recent call last):
  File "flows.py", line 12, in z
    return json.loads(text)
  File "python3.11/json/__init__.py", line 346, in loads
    return _default_decoder.decode(s)
  File "<attrs generated methods flows.Order>", line 26, in __init__
  File "site-packages/attr/validators.py", line 5, in __call__
ValueError: no"""
IN_A_GROUP = """Traceback (most recent call last):
  File "flows.py", line 12, in z
    async with asyncio.TaskGroup() as tg:
ExceptionGroup: two (1 sub-exception)
  | Traceback (most recent call last):
  |   File "flows.py", line 20, in one
  |     raise ValueError
  | ValueError"""
ONLY_LIBRARIES = """Traceback (most recent call last):
  File "site-packages/shop/flows.py", line 7, in z
KeyError"""


@pytest.mark.parametrize(
    ("traceback", "place"),
    [
        (PLAIN, "lib/help.py:3 in helper"),
        (IN_A_LIBRARY, "flows.py:12 in z"),
        (IN_A_GROUP, "flows.py:20 in one"),
        (ONLY_LIBRARIES, "site-packages/shop/flows.py:7 in z"),
        ("KeyError: 'nope'", None),
        ("", None),
    ],
)
def test_the_innermost_place_in_an_authors_file_is_meant(traceback, place):
    assert innermost_place(traceback) == place
