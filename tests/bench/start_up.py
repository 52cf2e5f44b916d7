"""How long does `infraweave serve` take to its first answer, beside a bare Quart on the same Hypercorn?

    python -m tests.bench.start_up [--rounds 10]

Both start in turn on one machine, with compiled files, and the best of each counts. A start ends when a
``GET`` is answered. The memory is what the process holds then (``VmRSS``), after the first answer.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARE = """
import asyncio, sys
from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart

app = Quart("bare")

@app.get("/healthz")
async def health():
    return {"ok": True}

config = Config()
config.bind = [f"127.0.0.1:{sys.argv[1]}"]
asyncio.run(serve(app, config))
"""

HELLO = """
from infraweave import Workflow

flow = Workflow("hello", version="v1")

@flow.node
async def greet() -> str:
    return "hello"
"""

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


def measure(rounds: int = 10) -> dict[str, float]:
    """Return the best times in ms, the ratio of the two servers, and the memory of each in MiB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "hello.py").write_text(HELLO)
        (folder / "bare.py").write_text(BARE)
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        _round(folder, folder / "first.db", environment)  # compiles, and does not count
        found = [_round(folder, folder / f"{number}.db", environment) for number in range(rounds)]
    best = {key: min(one[key] for one in found) for key in found[0]}
    return {**best, "serve_to_bare": best["serve_ms"] / best["bare_ms"]}


def _round(folder: Path, db: Path, environment: dict[str, str]) -> dict[str, float]:
    product = [str(Path(sys.executable).parent / "infraweave")]
    bare_ms, bare_mib = _first_answer([sys.executable, str(folder / "bare.py"), "{port}"], environment)
    serve = [*product, "serve", str(folder / "hello.py"), "--db", str(db), "--port", "{port}"]
    serve_ms, serve_mib = _first_answer(serve, environment)
    again_ms, _ = _first_answer(serve, environment)
    return {
        "bare_ms": bare_ms,
        "serve_ms": again_ms,
        "serve_new_file_ms": serve_ms,
        "help_ms": _timed([*product, "--help"], environment),
        "python_ms": _timed([sys.executable, "-c", "pass"], environment),
        "bare_mib": bare_mib,
        "serve_mib": serve_mib,
    }


def _timed(command: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1e3


def _first_answer(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Start a server, ask until it answers, stop it. Returns the time in ms and its memory in MiB."""
    port = _free_port()
    filled = [part.replace("{port}", str(port)) for part in command]
    began = time.perf_counter()
    with subprocess.Popen(
        filled, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            while not _answers(port):
                if server.poll() is not None:
                    raise SystemExit(f"{filled} ended with {server.returncode}")
                time.sleep(0.001)
            elapsed = (time.perf_counter() - began) * 1e3
            status = Path(f"/proc/{server.pid}/status")
            memory = re.search(r"VmRSS:\s+(\d+)", status.read_text()) if status.exists() else None
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)
    return elapsed, int(memory[1]) / 1024 if memory else float("nan")


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(REQUEST)
            return b" 200 " in connection.recv(4096)
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    found = measure(parser.parse_args().rounds)
    for name, value in found.items():
        print(f"{name:20}{value:10.2f}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
