"""The cost of a regular expression for each character of a text. Pure.

The engine takes time linear in the text, but the factor can be large: a counted repetition is expanded, and
each copy is a state that every character may visit. The weight of a pattern is the number of its atoms after
expansion. It is an estimate, and never far too small.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from infraweave.core.data.schema_cost import subschemas
from infraweave.core.data.values import Json

_TOKEN = re.compile(
    r"(?P<escape>\\(?:[pP]\{[^}]*\}|[xuU]\{[^}]*\}|.))"
    r"|(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])"
    r"|(?P<open>\((?:\?(?:[:=!>]|P?<[^>]*>|[A-Za-z-]+:?))?)"
    r"|(?P<close>\))"
    r"|\{(?P<least>\d+)(?P<range>,(?P<most>\d*))?\}"
    r"|(?P<other>.)",
    re.DOTALL,
)
_MOST = 10**9


def pattern_weight(pattern: str) -> int:
    """Return the number of atoms of a pattern after its counted repetitions are expanded."""
    sums, last = [0], 0
    for token in _TOKEN.finditer(pattern):
        if token["open"] is not None:
            sums.append(0)
        elif token["close"] is not None and len(sums) > 1:
            last = sums.pop()
            sums[-1] += last
        elif token["least"] is not None:
            sums[-1] += last * (_times(token) - 1)
            last *= _times(token)
        else:
            last = 1
            sums[-1] += 1
    return min(_MOST, sum(sums))


def _times(token: re.Match[str]) -> int:
    """Return the number of copies of a repetition."""
    return max(1, min(_MOST, int((token["most"] or token["least"])[:10])))


def heaviest_pattern(schema: Json) -> int:
    """Return the greatest weight of the patterns of one subschema, 0 where there are none."""
    return max((sum(map(pattern_weight, _patterns(item))) for item in subschemas(schema)), default=0)


def _patterns(item: dict[str, Json]) -> Iterator[str]:
    if isinstance(pattern := item.get("pattern"), str):
        yield pattern
    if isinstance(named := item.get("patternProperties"), dict):
        yield from named
