"""digest-folder: read the text files of a folder in parallel and summarize them.

Each file is one item of a map. Files that cannot be read as text are counted and left
out; more than ten of them fail the run.

    infraweave run workflows.example/digest.py --input '{"folder": "infraweave", "pattern": "*.py"}'
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path

from attrs import frozen

from infraweave import Context, NonRetryable, Retry, Workflow

#: The fewest letters of a word that is counted.
LEAST = 5


@frozen
class Job:
    folder: str
    pattern: str = "*.txt"


@frozen
class Digest:
    file: str
    sha256: str
    lines: int
    words: int
    #: The most frequent words and how often they occur.
    top: dict[str, int]


@frozen
class Report:
    files: int
    unread: int
    lines: int
    words: int
    top: dict[str, int]
    #: Files with the same content, by the name of the first one.
    copies: dict[str, list[str]]


flow = Workflow("digest-folder", version="v1.0", input=Job)


@flow.node
def files(input: Job) -> list[str]:
    folder = Path(input.folder)
    if not folder.is_dir():
        raise NonRetryable(f"{folder} is not a folder")
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob(input.pattern) if path.is_file()
    )


@flow.map(over=files, max_concurrency=4, max_failures=10, retry=Retry(max_attempts=2), timeout="1m")
def digest(file: str, input: Job, ctx: Context) -> Digest:
    data = (Path(input.folder) / file).read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise NonRetryable(f"{file} is not text: {error}") from error
    found = re.findall(r"\w+", text.lower())
    ctx.log.info("%s: %d words", file, len(found))
    return Digest(file, hashlib.sha256(data).hexdigest(), text.count("\n"), len(found), most_frequent(found))


@flow.node
def report(digest: list[Digest | None]) -> Report:
    read = [one for one in digest if one is not None]
    top: Counter[str] = Counter()
    same: dict[str, list[str]] = {}
    for one in read:
        top.update(one.top)
        same.setdefault(one.sha256, []).append(one.file)
    return Report(
        files=len(digest),
        unread=len(digest) - len(read),
        lines=sum(one.lines for one in read),
        words=sum(one.words for one in read),
        top=dict(top.most_common(10)),
        copies={first: others for first, *others in same.values() if others},
    )


def most_frequent(words: list[str], number: int = 20) -> dict[str, int]:
    return dict(Counter(word for word in words if len(word) >= LEAST).most_common(number))
