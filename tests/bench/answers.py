"""Do two trees of the source give the same answers, byte for byte?

    python -m tests.bench.answers --tree A [--tree B] [--out FOLDER]

A tree is a folder with the package, or a commit. Each one is served by real processes that get the same
requests over raw sockets. The answers are written to FOLDER, and their differences are printed; the exit
code is 1 if there are any. Ids, times and other values that change from run to run have names. With one
tree, the answers are only written.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from infraweave.core.access import make_token
from tests.bench.recorded import doors, everywhere, others, runs, tight
from tests.bench.recorded.names import renamed
from tests.bench.recorded.session import Session

ROOT = Path(__file__).parent.parent.parent
FLOWS = Path(__file__).parent / "recorded" / "flows.py"
TOKEN = make_token("r" * 30)
#: Records one server of a tree in a folder, and adds what has a name to the places.
Recorder = Callable[[Path, Path, dict[str, str]], list[str]]


class _Upstream(BaseHTTPRequestHandler):
    """What http nodes call."""

    def do_POST(self) -> None:
        status = {"/fine": 200, "/absent": 404}.get(self.path, 503)
        body = json.dumps({"price": 12.5, "path": self.path, "key": self.headers["Idempotency-Key"]}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def upstream() -> Iterator[str]:
    """Serve what http nodes call; yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Upstream) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def served(tree: Path, folder: Path, *options: str) -> Iterator[int]:
    """Serve the recorded workflows with the code of a tree; yield the port."""
    folder.mkdir()
    shutil.copy(FLOWS, folder / "flows.py")
    ready = folder / "ready.json"
    command = [sys.executable, "-m", "infraweave", "serve", str(folder / "flows.py"), "--port", "0"]
    command += ["--db", str(folder / "runs.db"), "--ready-file", str(ready), *options]
    ours = {name: text for name, text in os.environ.items() if not name.startswith("INFRAWEAVE_")}
    environment = {
        **ours,
        "PYTHONPATH": str(tree),
        "INFRAWEAVE_ADMIN_TOKEN": TOKEN,
        "RECORDED_SECRET": others.SECRET,
    }
    with (
        (folder / "out").open("w") as out,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out) as server,
    ):
        try:
            yield _port(ready, server, folder / "out")
        finally:
            server.terminate()


def _port(ready: Path, server: subprocess.Popen[bytes], out: Path) -> int:
    for _ in range(1200):
        if ready.exists():
            return int(json.loads(ready.read_text())["url"].rpartition(":")[2])
        assert server.poll() is None, out.read_text()
        time.sleep(0.05)  # a real process starts in real time
    raise AssertionError(out.read_text())


def record(tree: Path, recorders: Sequence[Recorder] = ()) -> list[str]:
    """Return the answers of a tree to all requests, or to those of some recorders."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        places = {str(folder / "wide"): "FOLDER", str(folder / "tight"): "FOLDER", str(tree): "TREE"}
        answers = [
            answer for one in recorders or (record_wide, record_tight) for answer in one(tree, folder, places)
        ]
        return renamed(answers, places)


def record_wide(tree: Path, folder: Path, places: dict[str, str]) -> list[str]:
    """Return the answers of a server with the usual limits."""
    options = ["--allow-origin", "https://pages.example", "--allow-host", "api.example"]
    with upstream() as address, ExitStack() as stack:
        outbound = ["--allow-outbound", address.removeprefix("http://")]
        port = stack.enter_context(served(tree, folder / "wide", *options, *outbound))
        places |= {f"127.0.0.1:{port}": "SERVER", address.removeprefix("http://"): "UPSTREAM"}
        session = Session(port, {"admin": TOKEN})
        others.make_principals(session)
        runs.ask_about_runs(session, folder / "wide", address)
        others.ask_about_workflows(session)
        others.ask_about_triggers(session)
        _ask_every_route(session)
        doors.ask_about_http(session)
        others.ask_about_access(session)
        others.ask_about_the_log(session)
        others.ask_about_the_service(session)
        session.close()
        return session.recording


def _ask_every_route(session: Session) -> None:
    run_id = session.ended("chain", {"amount": 1})
    made = session.post("/v1/tokens", {"tenant": "default", "principal": "spare"})
    values = {
        "run_id": run_id,
        "workflow_id": "chain",
        "version": "v1",
        "schedule_id": "fired:yearly",
        "webhook": "pushed",
        "name": "letter",
        "token_id": json.loads(made.body)["token_id"],
        "path": "app.js",
    }
    everywhere.ask_every_route(session, values)


def record_tight(tree: Path, folder: Path, places: dict[str, str]) -> list[str]:
    """Return the answers of a server with small limits."""
    limits = [part for limit in tight.LIMITS for part in ("--limit", limit)]
    with served(tree, folder / "tight", *limits) as port:
        places[f"127.0.0.1:{port}"] = "SERVER"
        session = Session(port, {"admin": TOKEN})
        tight.ask_beyond_limits(session, folder / "tight")
        session.close()
        return session.recording


@contextmanager
def tree_of(name: str) -> Iterator[Path]:
    """Yield the folder of a tree; a commit is checked out for the time."""
    if Path(name, "infraweave").is_dir():
        yield Path(name).resolve()
        return
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder).resolve() / "tree"
        subprocess.run(["git", "worktree", "add", "-q", "--detach", str(tree), name], cwd=ROOT, check=True)
        try:
            yield tree
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)


def differences(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Return the lines that differ between two recordings, each with its request."""
    found: list[str] = []
    for old, new in zip(first, second, strict=False):
        if old != new:
            lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=2)
            found += [
                old.partition("\n")[0],
                *[line for line in lines if not line.startswith(("---", "+++"))],
            ]
    if len(first) != len(second):
        found.append(f"{len(first)} answers, and {len(second)} answers")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tree", action="append", required=True)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    recordings = []
    for place, name in enumerate(chosen.tree):
        began = time.perf_counter()
        with tree_of(name) as tree:
            recordings.append(record(tree))
        print(f"{name}: {len(recordings[-1])} requests, {time.perf_counter() - began:.0f} s", file=sys.stderr)
        if chosen.out is not None:
            chosen.out.mkdir(exist_ok=True, parents=True)
            (chosen.out / f"{place + 1}.txt").write_text("\n\n".join(recordings[-1]) + "\n")
    found = [line for other in recordings[1:] for line in differences(recordings[0], other)]
    print("\n".join(found))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
