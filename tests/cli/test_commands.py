"""The commands as scripts call them: output, exit codes, one line for a mistake."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import stat
import subprocess
import sys
from contextlib import suppress

import httpx
import pytest

from infraweave.core.access import is_token
from tests.conftest import EXAMPLES
from tests.crash.server import Process
from tests.engine.web import answer, serving

FLOW = """
from infraweave import NonRetryable, Workflow
flow = Workflow("double", version="v1", input={"type": "object", "required": ["n"]})

@flow.node
def double(input: dict) -> int:
    if input["n"] == 13:
        raise NonRetryable("unlucky")
    return 2 * input["n"]
"""


@pytest.fixture
def infraweave(tmp_path):
    """Run the command line in a folder of its own."""

    def run(
        *arguments: str, stdin: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("INFRAWEAVE_", "CODER_"))}
        shop = {"CHECKOUT_SHOP": str(tmp_path / "shop.db")}
        return subprocess.run(
            [sys.executable, "-m", "infraweave", *arguments],
            cwd=tmp_path,
            env={**clean, **shop, **environment},
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    (tmp_path / "flow.py").write_text(FLOW)
    return run


@pytest.fixture
def process(tmp_path):
    (tmp_path / "flows.py").write_text(FLOW)
    server = Process(tmp_path)
    yield server
    server.kill()


HELPFUL = [
    [],
    ["serve"],
    ["run"],
    ["tokens"],
    ["tokens", "create"],
    ["audit"],
    *([group, act] for group in ("principals", "grants") for act in ("list", "create", "delete")),
    *(["tenants", act] for act in ("list", "create")),
    ["workflows"],
    ["doctor"],
    ["db"],
    *(["db", act] for act in ("stats", "verify", "backup", "prune")),
    ["runs"],
    *(["runs", act] for act in ("start", "start-batch", "rerun", "list", "show", "result", "history")),
    *(["runs", act] for act in ("watch", "explain", "cancel", "terminate", "signal")),
    ["schedules"],
    *(
        ["schedules", act]
        for act in ("list", "show", "create", "change", "pause", "resume", "trigger", "delete")
    ),
    ["webhooks"],
    *(["webhooks", act] for act in ("list", "create", "delete")),
]


@pytest.mark.parametrize("command", HELPFUL, ids=" ".join)
def test_every_command_has_help_with_an_example(infraweave, command):
    done = infraweave(*command, "--help")
    assert done.returncode == 0
    assert "Example: infraweave " in done.stdout


def test_run_prints_the_result_and_shows_the_nodes_on_stderr(infraweave):
    done = infraweave("run", "flow.py", "--input", '{"n": 4}')
    assert (done.returncode, json.loads(done.stdout)) == (0, 8)
    assert "double started" in done.stderr
    assert "double completed" in done.stderr


def test_run_shows_where_in_the_file_a_node_failed(infraweave):
    done = infraweave("run", "flow.py", "--input", '{"n": 13}')
    assert (done.returncode, done.stdout) == (1, "")
    *_, failed, head, frame, source, text, end, outcome = done.stderr.splitlines()
    assert failed.endswith("s  double failed: unlucky")
    assert [head, frame, source, text] == [
        "           Traceback (most recent call last):",
        '             File "flow.py", line 8, in double',
        '               raise NonRetryable("unlucky")',
        "           infraweave.errors.NonRetryable: unlucky",
    ]
    assert end.endswith("s  failed")
    assert outcome == "infraweave: failed in double: unlucky"


RETRIED = """
from infraweave import Context, Retry, Workflow
flow = Workflow("retried", version="v1")

@flow.node(retry=Retry(max_attempts=3, initial=0, jitter=False))
def retried(ctx: Context) -> None:
    raise OSError("\\x1b[2J" if ctx.attempt < 3 else "last")
"""


def test_run_shows_the_same_traceback_once_and_no_log_beside_it(infraweave, tmp_path):
    (tmp_path / "retried.py").write_text(RETRIED)
    done = infraweave("run", "retried.py")
    assert done.stderr.count("retried failed: ") == 3
    assert done.stderr.count("Traceback") == 2
    assert "it is final" not in done.stderr
    assert "\x1b" not in done.stderr


def test_run_reads_its_input_from_a_file_or_stdin(infraweave, tmp_path):
    (tmp_path / "input.json").write_text('{"n": 5}')
    assert infraweave("run", "flow.py", "--input", "@input.json").stdout == "10\n"
    assert infraweave("run", "flow.py", "--input", "-", stdin='{"n": 6}').stdout == "12\n"
    assert infraweave("run", "flow.py", INFRAWEAVE_RUN_INPUT_JSON='{"n": 7}').stdout == "14\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "flow.py", "--input", "{}"], 1, "/n is required"),
        (["run", "flow.py", "--input", "{"], 2, "--input"),
        (
            ["run", "flow.py", "--workflow", "other"],
            2,
            "There is no workflow other in flow.py; it has double",
        ),
        (["run", "missing.py"], 1, "missing.py: no such file"),
        (["serve", "missing.py"], 2, "does not exist"),
        (["serve"], 1, "no folder workflows/ here"),
        (["serve", "flow.py", "--ready-file", "nowhere/ready"], 2, "there is no folder nowhere"),
        (["serve", "flow.py", "--db", "."], 1, ". is a folder"),
        (["tokens", "list"], 4, "no token"),
        (["tokens", "list", "--token", "x", "--url", "http://127.0.0.1:9"], 3, "cannot be reached"),
        (["tokens", "create", "--tenant", "t", "--principal", "p", "--grant", "fly:x"], 2, "not an action"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_a_mistake_gets_its_exit_code_and_no_traceback(infraweave, arguments, code, words):
    done = infraweave(*arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_run_cancels_and_cleans_up_where_nobody_can_be_asked(infraweave):
    order = '{"order_id": "o1", "customer_tier": "enterprise"}'
    done = infraweave("run", str(EXAMPLES / "checkout.py"), "--input", order)
    assert done.returncode == 1
    assert "there is no terminal" in done.stderr
    assert "undo reserve completed" in done.stderr


WAITS = """
from infraweave import Workflow

sees = Workflow("sees", version="v1")
sees.signal("go", schema={})

minds = Workflow("minds", version="v1")

@minds.subworkflow("asks")
def below() -> dict:
    return {}

asks = Workflow("asks", version="v1")

@asks.human_input(schema={})
def ask() -> str:
    return "Go?"

patient = Workflow("patient", version="v1")
patient.signal("go", schema={}, timeout=0.01, on_timeout="went by itself")
"""


@pytest.mark.parametrize(
    ("workflow", "what"), [("sees", "go waits for a signal"), ("minds", "ask asks for input")]
)
def test_run_ends_where_nobody_can_send_what_the_run_or_its_child_waits_for(
    infraweave, tmp_path, workflow, what
):
    (tmp_path / "waits.py").write_text(WAITS)
    done = infraweave("run", str(tmp_path / "waits.py"), "--workflow", workflow)
    assert done.returncode == 1
    assert f"infraweave: {what}, but there is no terminal; use `infraweave serve` instead" in done.stderr


@pytest.mark.parametrize(
    ("workflow", "typed", "words"),
    [
        ("sees", b"1\n", "go completed"),
        ("sees", b"\x04", "Cancelled by cli: nobody answered"),
        ("minds", b"2\n", "below completed"),
        ("patient", b"", "went by itself"),  # while the prompt stands open
    ],
)
def test_run_asks_at_a_terminal(tmp_path, workflow, typed, words):
    (tmp_path / "waits.py").write_text(WAITS)
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "infraweave", "run", "waits.py", "--workflow", workflow]
    running = subprocess.Popen(
        command, cwd=tmp_path, stdin=its, stdout=its, stderr=its, start_new_session=True
    )
    os.close(its)
    said = b""
    with suppress(OSError):  # the other end has gone
        while part := os.read(ours, 4096):
            said += part
            if typed and said.endswith(b"JSON: "):
                os.write(ours, typed)
                typed = b""
    os.close(ours)
    running.wait(10)
    assert words in said.decode()


def test_run_waits_for_a_signal_whose_time_will_be_over(infraweave, tmp_path):
    (tmp_path / "waits.py").write_text(WAITS)
    done = infraweave("run", str(tmp_path / "waits.py"), "--workflow", "patient")
    assert (done.returncode, json.loads(done.stdout)) == (0, "went by itself")


def test_the_examples_run(infraweave, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("hello")
    job = json.dumps({"folder": str(tmp_path / "folder"), "target": str(tmp_path / "a.tar.gz")})
    done = infraweave("run", str(EXAMPLES / "archive.py"), "--input", job)
    assert json.loads(done.stdout)["files"] == 1
    order = '{"order_id": "o1", "customer_tier": "standard", "card": "card_flaky"}'
    done = infraweave("run", str(EXAMPLES / "checkout.py"), "--input", order)
    assert json.loads(done.stdout) == {"order_id": "o1", "paid_cents": 12900, "parcels": 1}
    assert done.stderr.count("retrying in") == 2
    order = '{"order_id": "o2", "customer_tier": "standard", "card": "card_declined"}'
    done = infraweave("run", str(EXAMPLES / "checkout.py"), "--input", order)
    assert done.returncode == 1
    assert "undo reserve completed" in done.stderr


async def test_serve_keeps_its_token_private_and_tokens_work_until_they_are_revoked(process, infraweave):
    async with process.start() as client:
        file = process.folder / "runs.db.token"
        admin = file.read_text().strip()
        assert is_token(admin)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        url = json.loads((process.folder / "ready.json").read_text())["url"]
        server = {"INFRAWEAVE_URL": url, "INFRAWEAVE_TOKEN": admin}
        made = json.loads(
            infraweave(
                *["tokens", "create", "--json", "--tenant", "acme", "--principal", "ci"],
                *["--grant", "execute:workflow:double", "--expires", "1h"],
                **server,
            ).stdout
        )
        assert made.keys() == {"token", "token_id", "tenant", "principal", "grants", "expires_at"}
        assert made["grants"] == ["execute:workflow:double"]
        headers = {"Authorization": f"Bearer {made['token']}"}
        body = {"workflow_id": "double", "input": {"n": 1}}
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as caller:
            assert (await caller.post("/v1/runs", json=body)).status_code == 201
            denied = infraweave("tokens", "list", INFRAWEAVE_URL=url, INFRAWEAVE_TOKEN=made["token"])
            assert denied.returncode == 4
            assert infraweave("tokens", "revoke", made["token_id"], **server).returncode == 0
            assert (await caller.post("/v1/runs", json=body)).status_code == 401
        assert made["token_id"] in infraweave("tokens", "list", **server).stdout
        assert (await client.request("GET", "/v1/whoami"))["principal"] == "admin"


def test_tokens_of_a_file_that_nobody_serves(infraweave, tmp_path):
    arguments = ["--db", "t.db", "--tenant", "t", "--principal", "p", "--grant", "read:workflow:*"]
    done = infraweave("tokens", "create", *arguments)
    assert is_token(done.stdout.strip())
    (listed,) = json.loads(infraweave("tokens", "list", "--db", "t.db", "--json").stdout)["tokens"]
    assert listed["grants"] == ["read:workflow:*"]
    assert infraweave("tokens", "revoke", listed["token_id"], "--db", "t.db").returncode == 0
    assert infraweave("tokens", "list", "--db", "none.db").returncode == 1
    assert not (tmp_path / "none.db").exists()


async def test_serve_takes_its_first_token_from_the_environment(process, monkeypatch):
    from infraweave.core.access import make_token

    token = make_token("0" * 30)
    monkeypatch.setenv("INFRAWEAVE_ADMIN_TOKEN", token)
    async with process.start() as client:
        assert (process.folder / "runs.db.token").read_text().strip() == token
        assert (await client.request("GET", "/v1/whoami"))["principal"] == "admin"
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait() == 0


def test_a_first_token_that_is_none_is_refused(infraweave):
    done = infraweave("serve", "flow.py", "--db", "x.db", INFRAWEAVE_ADMIN_TOKEN="iw_live_nonsense")
    assert done.returncode == 1
    assert "INFRAWEAVE_ADMIN_TOKEN is not a valid token" in done.stderr


CALL = """
from infraweave import Workflow
flow = Workflow("call", version="v1")
flow.http("call", url="{input.url}", retry=None)
"""


async def test_run_calls_what_allow_outbound_names_and_nothing_else_of_ours(infraweave, tmp_path):
    (tmp_path / "call.py").write_text(CALL)
    async with serving(answer(200, {"ok": True})) as web:

        def run(*options: str, **environment: str):
            given = ("run", "call.py", "--input", json.dumps({"url": web.url}), *options)
            return asyncio.to_thread(infraweave, *given, **environment)

        refused = await run()
        allowed = await run("--allow-outbound", f"127.0.0.1:{web.port}")
        also = await run(INFRAWEAVE_RUN_ALLOW_OUTBOUND="db.local 127.0.0.0/8")
    assert refused.returncode == 1
    assert f"--allow-outbound 127.0.0.1:{web.port}" in refused.stderr
    assert json.loads(allowed.stdout) == json.loads(also.stdout) == {"ok": True}
    assert len(web.asked) == 2


def test_a_document_is_run_without_python(infraweave, tmp_path):
    nap = {"workflow_id": "nap", "nodes": [{"name": "nap", "kind": "timer", "delay": 0}]}
    (tmp_path / "nap.json").write_text(json.dumps(nap))
    done = infraweave("run", "nap.json")
    assert (done.returncode, json.loads(done.stdout)) == (0, None)


async def test_run_sends_the_secrets_that_it_is_given(infraweave, tmp_path):
    (tmp_path / "call.py").write_text(CALL.replace("retry=None", "headers={'X-Key': '{secret.KEY}'}"))
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "KEY").write_text("a-key-of-a-file\n")
    async with serving(answer(200, "fine: a-key-of-a-file")) as web:
        allowed = ("--allow-outbound", "127.0.0.1", "--secret", f"KEY@{web.url}", "--secret-files", "keys")
        given = ("run", "call.py", "--input", json.dumps({"url": web.url}), *allowed)
        done = await asyncio.to_thread(infraweave, *given)
    assert json.loads(done.stdout) == "fine: [redacted]"
    assert web.asked[0].headers["x-key"] == "a-key-of-a-file"


@pytest.mark.parametrize("command", ["serve", "run"])
def test_a_file_without_certificates_is_a_usage_error(infraweave, tmp_path, command):
    (tmp_path / "ca.pem").write_text("none")
    done = infraweave(command, "flow.py", "--outbound-ca", "ca.pem")
    assert done.returncode == 2
    assert "ca.pem does not contain PEM certificates" in done.stderr


@pytest.mark.parametrize("command", ["serve", "run"])
def test_a_secret_that_is_bound_to_no_host_is_a_usage_error(infraweave, command):
    done = infraweave(command, "flow.py", "--secret", "KEY")
    assert done.returncode == 2
    assert "'KEY' does not say where the secret may be sent" in done.stderr


@pytest.mark.parametrize("command", ["serve", "run"])
def test_a_wrong_exception_to_the_outbound_guard_is_a_usage_error(infraweave, command):
    done = infraweave(command, "flow.py", "--allow-outbound", "http://x/")
    assert done.returncode == 2
    assert "'http://x/' is not a host, host:port or network" in done.stderr
