"""What differs from one recording to the next, and the names that stand for it."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping

_ULID = "[0-9A-HJKMNP-TV-Z]{26}"
#: Values that get a number each, in the order in which they appear in the recording.
_NUMBERED: Mapping[str, re.Pattern[str]] = {
    "run": re.compile(rf"\brun_{_ULID}\b"),
    "tok": re.compile(rf"\btok_{_ULID}\b"),
    "token": re.compile(r"\biw_live_[0-9A-Za-z]{36}\b"),
    "secret": re.compile(r"\bwhsec_[0-9A-Za-z+/=]{20,}"),
    "inp": re.compile(r"\binp_[0-9a-f]{24}\b"),
    "key": re.compile(r"\biw-[0-9a-f]{32}\b"),
    "cursor": re.compile(r'(?<="next_cursor":")[\w-]{32}(?=")|(?<=cursor=)[\w-]{32}(?![\w-])'),
    "trace": re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])"),
    "span": re.compile(r"(?<![0-9a-f])[0-9a-f]{16}(?![0-9a-f])"),
}
#: Numbered anew in each answer, so that one more does not change all that follow.
_REQUEST = re.compile(rf"\breq_{_ULID}\b")
#: Values that are all called the same. Times that a request names are of another decade.
_ALIKE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b202\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"(?<=date: )\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT"), "DATE"),
    (re.compile(r"(?<= within )[\d.]+s\b"), "Ns"),
    (re.compile(r'(?<=_ms":)\d+'), "N"),
    (re.compile(r'("(?:uptime_s|database_bytes|taken|busy)":)\d+'), r"\1N"),
)
_HOURS = re.compile(r'"hours":(\[.*?\])')
#: Nodes with their durations, the slowest first.
_SLOWEST = re.compile(r'(?<="nodes":\[)\{"workflow_id".*?(?=\])')
#: Metrics whose values are the same each time.
_COUNTED = ("infraweave_http_requests_total", "infraweave_events_total", "infraweave_runs{")


def renamed(answers: list[str], places: Mapping[str, str]) -> list[str]:
    """Return answers with names in place of what varies. ``places``: other texts and their names."""
    given: dict[str, dict[str, str]] = defaultdict(dict)
    return [_renamed(answer, places, given) for answer in answers]


def _renamed(answer: str, places: Mapping[str, str], given: dict[str, dict[str, str]]) -> str:
    for text, name in places.items():
        answer = answer.replace(text, name)
    answer = _HOURS.sub(_sums, answer)
    answer = _SLOWEST.sub(_sorted, answer)
    for pattern, name in _ALIKE:
        answer = pattern.sub(name, answer)
    for kind, pattern in _NUMBERED.items():
        answer = pattern.sub(_numbering(kind, given[kind]), answer)
    answer = _REQUEST.sub(_numbering("req", {}), answer)
    return answer.replace(',"', ',\n    "').replace("},{", "},\n    {")  # a line for each field


def _sorted(found: re.Match[str]) -> str:
    return "{" + "},{".join(sorted(found[0][1:-1].split("},{"))) + "}"


def _numbering(kind: str, given: dict[str, str]) -> Callable[[re.Match[str]], str]:
    return lambda found: given.setdefault(found[0], f"{kind}#{len(given) + 1}")


def _sums(found: re.Match[str]) -> str:
    """Return the sums of a list of hours: an hour may end while it is recorded."""
    hours = json.loads(found[1])
    names = [name for name in hours[0] if name != "hour"]
    sums = ",".join(f'"{name}":{sum(hour[name] for hour in hours)}' for name in names)
    return f'"hours":[SUMS {list(hours[0])} {sums}]'


def metrics(text: str) -> str:
    """Return metrics without the values that vary, and with the buckets of one route."""
    return "\n".join(
        line if line.startswith(("#", *_COUNTED)) else f"{line.rpartition(' ')[0]} N"
        for line in text.splitlines()
        if "_bucket{" not in line or "route=" not in line or 'route="/healthz"' in line
    )
