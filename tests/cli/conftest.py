"""Calls the command line in this process, beside a server of the test's own."""

from __future__ import annotations

import asyncio
import io
import sys

import pytest

from infraweave.cli.main import main


class Terminal(io.StringIO):
    """A stdin at which a person sits who types these lines."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def infraweave(monkeypatch, capsys):
    """Call a command; give its exit code, stdout and stderr. ``typed``: by a person at a terminal."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["infraweave", *arguments])
        code = 0
        try:
            main()
        except SystemExit as done:
            code = done.code or 0
        return (code, *capsys.readouterr())

    async def run(*arguments: str, stdin: str = "", typed: str | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin) if typed is None else Terminal(typed))
        return await asyncio.to_thread(call, *arguments)

    return run


@pytest.fixture
def at(monkeypatch):
    """Let commands ask this server."""

    def choose(server) -> None:
        monkeypatch.setenv("INFRAWEAVE_URL", server.url)
        monkeypatch.setenv("INFRAWEAVE_TOKEN", server.token)

    return choose
