"""Tenants, principals, grants and the audit log from the command line, at a server and in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infraweave import errors
from infraweave.cli.options import limit_settings
from tests.cli.test_commands import infraweave, process  # noqa: F401 - fixtures

WHO = ["--tenant", "acme", "--principal", "ci"]


def go_round(run, *target, **environment):
    """Make, change and take away; return what the audit log says of it."""

    def told(*arguments):
        done = run(*arguments, *target, "--json", **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert told("tenants", "create", "acme")["tenant"] == "acme"
    assert told("principals", "create", *WHO, "--grant", "read:workflow:*")["grants"] == ["read:workflow:*"]
    more = told("grants", "create", *WHO, "execute:workflow:double")
    assert more["grants"] == ["execute:workflow:double", "read:workflow:*"]
    assert "acme" in [row["tenant"] for row in told("tenants", "list")["tenants"]]
    assert told("principals", "list", "--tenant", "acme")["principals"][0]["principal"] == "ci"
    assert len(told("grants", "list", *WHO)["grants"]) == 2
    assert told("grants", "delete", *WHO, "read:workflow:*")["grants"] == ["execute:workflow:double"]
    assert told("principals", "delete", *WHO)["deleted"]
    rows = told("audit", "--outcome", "allowed", "--limit", "50")["audit"]
    return [row for row in reversed(rows) if row["action"] != "create_token"]


ACTIONS = ["create_tenant", "create_principal", "add_grants", "delete_grant", "delete_principal"]


def test_in_a_file_that_nobody_serves(infraweave):  # noqa: F811 - a fixture
    rows = go_round(infraweave, "--db", "t.db")
    assert [row["action"] for row in rows] == ACTIONS
    assert {(row["source"], row["principal"][:3], row["request_id"]) for row in rows} == {
        ("cli", "os:", None)
    }
    assert "create_tenant" in infraweave("audit", "--db", "t.db").stdout


async def test_at_a_server(infraweave, process):  # noqa: F811 - fixtures
    async with process.start():
        url = json.loads((process.folder / "ready.json").read_text())["url"]
        token = (process.folder / "runs.db.token").read_text().strip()
        rows = go_round(infraweave, INFRAWEAVE_URL=url, INFRAWEAVE_TOKEN=token)
    assert [row["action"] for row in rows] == ACTIONS
    assert {(row["source"], row["principal"]) for row in rows} == {("http", "admin")}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["tenants", "list", "--db", "none.db"], 1, "no such file"),
        (["grants", "create", *WHO, "fly:x"], 2, "is not an action"),
        (["audit", "--after", "yesterday"], 2, "--after"),
        (["audit", "--db", "none.db", "--cursor", "x"], 2, "--cursor"),
        (["principals", "list"], 4, "no token"),
        (["serve", "flow.py", "--allow-origin", "*"], 2, "is not a valid origin"),
        (["serve", "flow.py", "--limit", "max_tag=3"], 2, "max_tags"),
        (["serve", "flow.py", "--limit", "max_tags=many"], 2, "a whole number"),
        (["serve", "flow.py", "--limit", "max_tags=-1"], 2, "a whole number"),
    ],
)
def test_a_mistake_gets_its_exit_code_and_one_line(infraweave, arguments, code, words):  # noqa: F811
    done = infraweave(*arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_readme_tells_of_every_limit_and_every_code():
    readme = (Path(__file__).parent.parent.parent / "README.md").read_text()
    found = [cls for cls in vars(errors).values() if isinstance(cls, type)]
    codes = {cls.code for cls in found if issubclass(cls, errors.RequestError) and hasattr(cls, "code")}
    assert {name for name in {*limit_settings(), *codes} if f"`{name}`" not in readme} == set()


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (["tokens", "create"], ["--tenant", "--principal"]),
        (["principals", "create"], ["--tenant", "--principal"]),
        (["grants", "create", "read:workflow:*"], ["--tenant", "--principal"]),
        (["tenants", "create"], []),
    ],
)
def test_a_name_that_no_server_takes_is_taken_by_no_file(infraweave, command, options):  # noqa: F811
    for name in ("", "x" * 129):
        named = [part for option in options for part in (option, name)] or [name]
        done = infraweave(*command, *named, "--db", "t.db")
        assert (done.returncode, done.stdout) == (2, "")
        assert "tenant must have 1 to 128 characters" in done.stderr
