"""Runs the README's tour: its commands in one shell, its outputs beside what really came.

python -m tests.stories.tour --write    puts what came into the README
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
END = "end-of-output-of-this-command"
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)

#: What differs from one run to the next, and what stands for it in a comparison.
VARYING = (
    (re.compile(r"\b(run|req|tok)_[0-9A-HJKMNP-TV-Z]{26}\b"), r"\1_ULID"),
    (re.compile(r"\b(inp_|iw-)[0-9a-f]{24,32}\b"), r"\1HASH"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "TIME"),
    (re.compile(r'"latency_ms":\d+'), '"latency_ms":N'),
    (re.compile(r'"(trace_id|span_id)":"[0-9a-f]+"'), r'"\1":"HEX"'),
    (re.compile(r'"next_cursor":"[\w-]+"'), '"next_cursor":"CURSOR"'),
)


@frozen
class Step:
    """One command of the README, and the output that stands below it."""

    command: str
    output: str


def steps(text: str) -> Iterator[Step]:
    for block in BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield Step(command, output)


def same(text: str) -> str:
    """Return ``text`` without what differs from one run to the next."""
    for pattern, stand_in in VARYING:
        text = pattern.sub(stand_in, text)
    return text.strip()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the examples as the README says, on a free port; give the address."""
    ready = folder / "ready.json"
    command = [sys.executable, "-m", "infraweave", "serve", str(ROOT / "workflows.example")]
    command += ["--port", "0", "--ready-file", str(ready)]
    environment = {**os.environ, "CHECKOUT_SHOP": str(folder / "shop.db")}
    environment = {k: v for k, v in environment.items() if not k.startswith(("CODER_", "INFRAWEAVE_"))}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            yield _address(ready, server)
        finally:
            server.terminate()


def _address(ready: Path, server: subprocess.Popen[bytes]) -> str:
    for _ in range(600):
        if ready.exists():
            return str(json.loads(ready.read_text())["url"])
        assert server.poll() is None, f"the server ended with {server.returncode}"
        time.sleep(0.05)  # a real process starts in real time
    raise AssertionError("the server was not ready within 30 s")


def outputs(folder: Path, url: str) -> list[str]:
    """Run every command of the tour in one shell and return what each one printed."""
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/infraweave").write_text(f'#!/bin/sh\nexec {sys.executable} -m infraweave "$@"\n')
    (folder / ".venv/bin/infraweave").chmod(0o755)
    (folder / "workflows.example").symlink_to(ROOT / "workflows.example")
    script = "".join(f"{step.command}\necho; echo {END}\n" for step in steps(README.read_text()))
    script = script.replace("http://127.0.0.1:8470", url)
    done = subprocess.run(
        ["bash"], input=script, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    return [part.strip("\n") for part in done.stdout.split(f"{END}\n")][:-1]


def rewritten(text: str, printed: list[str]) -> str:
    """Return the README with the outputs that came."""
    came = iter(printed)

    def block(match: re.Match[str]) -> str:
        lines = []
        for part in re.split(r"^\$ ", match[1], flags=re.MULTILINE)[1:]:
            output = next(came)
            lines.append(f"$ {part.partition(chr(10))[0]}\n" + (f"{output}\n" if output else ""))
        return "```console\n" + "".join(lines) + "```"

    return BLOCK.sub(block, text)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as url:
        text = rewritten(README.read_text(), outputs(Path(folder), url))
    if "--write" in sys.argv:
        README.write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
