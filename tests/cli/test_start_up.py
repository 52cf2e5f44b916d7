"""What a start leaves alone: modules that it does not need, and the garbage collector."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from pathlib import Path

HELLO = """
from infraweave import Workflow

flow = Workflow("hello", version="v1")

@flow.node
async def greet() -> str:
    return "hello"
"""
#: ``--help`` shows a list of commands, and imports none of them.
NOT_FOR_HELP = {
    *("asyncio", "attr", "cattrs", "email", "http", "hypercorn", "importlib.metadata", "logging", "orjson"),
    *("quart", "sqlite3", "ssl", "infraweave.cli.serve", "infraweave.core.run", "infraweave.settings"),
}
#: A server imports these when it first draws a graph, describes itself, evaluates an expression or sends a
#: request for a node; and never the tools of the other commands, or what authors may use.
NOT_FOR_A_START = {
    *("anyio", "cel_expr_python", "certifi", "cryptography", "httpcore", "httpx", "msgspec", "packaging"),
    *("pydantic", "pytest", "tests", "trustme"),
    *("infraweave.api.openapi", "infraweave.client", "infraweave.core.layout", "infraweave.testing"),
    *("infraweave.cli.doctor", "infraweave.cli.run", "infraweave.server.embedding"),
    "infraweave.store.maintenance",
}


def imported(report: str) -> set[str]:
    """Return the modules that Python reports with ``-X importtime``."""
    return set(re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", report, re.MULTILINE))


def infraweave(*arguments: object) -> list[str]:
    return [sys.executable, "-X", "importtime", "-m", "infraweave", *map(str, arguments)]


def test_help_imports_no_command():
    done = subprocess.run(infraweave("--help"), capture_output=True, text=True, check=True)
    assert "Serve workflows over HTTP" in done.stdout
    loaded = imported(done.stderr)
    assert "click" in loaded
    assert loaded & NOT_FOR_HELP == set()


def test_a_start_imports_only_what_it_needs(tmp_path):
    (tmp_path / "hello.py").write_text(HELLO)
    command = infraweave("serve", tmp_path / "hello.py", "--db", tmp_path / "hello.db", "--port", 0)
    report = tmp_path / "imported.txt"
    with (
        report.open("w") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as server,
    ):
        url = next(line for line in server.stdout if line.startswith("InfraWeave serves")).split()[-1]
        assert urllib.request.urlopen(f"{url}/healthz").status == 200
        server.terminate()
        server.stdout.read()
    loaded = imported(report.read_text())
    assert {"quart", "infraweave.server.serving"} <= loaded
    assert loaded & NOT_FOR_A_START == set()


def test_modules_are_imported_without_the_collector_and_skipped_by_it_later():
    code = (
        "import gc\n"
        "from infraweave.engine.garbage_collector import paused_for_imports\n"
        "with paused_for_imports():\n"
        "    assert not gc.isenabled()\n"
        "assert gc.isenabled()\n"
        "assert gc.get_freeze_count() > 1_000\n"
        "try:\n"
        "    with paused_for_imports():\n"
        "        import infraweave.nowhere\n"
        "except ImportError:\n"
        "    assert gc.isenabled()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_the_collector_rests_while_options_of_a_server_import_parts_of_it():
    code = (
        "import gc, sys\n"
        "from infraweave.cli.serve import command\n"
        "assert gc.get_freeze_count() == 0\n"
        "command.make_context('serve', [])\n"
        "assert 'infraweave.engine.execution.secrets' in sys.modules\n"
        "assert gc.isenabled()\n"
        "assert gc.get_freeze_count() > 1_000\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
