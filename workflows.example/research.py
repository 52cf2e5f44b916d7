"""research: answer a question from a folder of texts, in a loop with a critic.

Each iteration searches the folder and adds the best passages to a draft. Then a critic lists the words of the
question that the draft does not cover, and the next iteration searches for those. The loop ends when no word
is missing, or when the search has found nothing new.

    infraweave run workflows.example/research.py --input '{"question": "who wakes a run?", "folder": "."}'
"""

from __future__ import annotations

import re
from pathlib import Path

from attrs import frozen

from infraweave import Context, NonRetryable, Workflow

#: Words that are too common to search for.
COMMON = frozenset({"a", "an", "and", "are", "by", "do", "does", "for", "from", "how", "i", "in", "is", "it"})
COMMON |= {"of", "on", "or", "the", "to", "what", "when", "who", "with"}
PASSAGES = 3


@frozen
class Inquiry:
    question: str
    folder: str
    pattern: str = "*.md"


@frozen
class Passage:
    file: str
    line: int
    text: str


@frozen
class Review:
    #: Words of the question that the draft does not cover.
    missing: list[str]
    #: True if another search for them would find nothing.
    hopeless: bool


flow = Workflow("research", version="v1.0", input=Inquiry)


@flow.node
def words(input: Inquiry) -> list[str]:
    found = [word for word in re.findall(r"\w+", input.question.lower()) if word not in COMMON]
    if not found:
        raise NonRetryable(f"{input.question!r} has no word to search for")
    return list(dict.fromkeys(found))


@flow.node(timeout="1m")
def search(
    input: Inquiry, words: list[str], critic: Review | None = None, draft: list[Passage] | None = None
) -> list[Passage]:
    """Find the passages with most of the wanted words: first all words, later the missing ones."""
    wanted = critic.missing if critic else words
    kept = draft or []
    passages = [passage for passage in read(Path(input.folder), input.pattern) if passage not in kept]
    best = sorted(passages, key=lambda passage: -len(covered(passage.text, wanted)))
    return [passage for passage in best[:PASSAGES] if covered(passage.text, wanted)]


@flow.node(kind="agent")
def draft(search: list[Passage], draft: list[Passage] | None = None) -> list[Passage]:
    return [*(draft or []), *search]


@flow.node(kind="llm")
def critic(draft: list[Passage], words: list[str], search: list[Passage], ctx: Context) -> Review:
    text = " ".join(passage.text for passage in draft)
    ctx.report(tokens=len(text.split()), model="word-by-word")
    return Review(missing=[word for word in words if not covered(text, [word])], hopeless=not search)


@flow.repeat(back_to=search, max_iterations=5, on_exhausted="continue")
def again(critic: Review) -> bool:
    return bool(critic.missing) and not critic.hopeless


@flow.node
def answer(input: Inquiry, draft: list[Passage], critic: Review) -> str:
    lines = [f"{passage.file}:{passage.line}: {passage.text}" for passage in draft]
    left_out = [f"Nothing found about: {', '.join(critic.missing)}"] if critic.missing else []
    return "\n\n".join([input.question, *lines, *left_out])


def read(folder: Path, pattern: str) -> list[Passage]:
    """Return the paragraphs of all files in a folder, in order."""
    if not folder.is_dir():
        raise NonRetryable(f"{folder} is not a folder")
    passages = []
    for file in sorted(folder.rglob(pattern)):
        line = 1
        for block in file.read_text(encoding="utf-8", errors="replace").split("\n\n"):
            if block.strip():
                first = line + len(block) - len(block.lstrip("\n"))
                passages.append(Passage(file.relative_to(folder).as_posix(), first, " ".join(block.split())))
            line += block.count("\n") + 2
    return passages


def covered(text: str, words: list[str]) -> set[str]:
    """Return the words that occur in a text, in any case."""
    return set(words) & set(re.findall(r"\w+", text.lower()))
