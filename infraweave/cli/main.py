"""The entry point: finds the command's module only when it is called, so that --help is quick.

Exit codes: 0 done, 1 the run or check failed, 2 usage, 3 server unreachable, 4 denied. A mistake gets one
line that says what to do, never a traceback.
"""

from __future__ import annotations

import importlib
import os
import sys

import click

from infraweave.cli.output import fail
from infraweave.errors import InfraWeaveError

#: command → (module, what --help says of it)
COMMANDS = {
    "audit": ("infraweave.cli.audit", "Show who did what, or was kept from it."),
    "grants": ("infraweave.cli.grants", "List, add and delete grants."),
    "principals": ("infraweave.cli.principals", "List, create and delete principals."),
    "run": ("infraweave.cli.run", "Execute one run in this process."),
    "runs": ("infraweave.cli.runs", "Start runs at a server."),
    "schedules": ("infraweave.cli.schedules", "List, make, pause and trigger schedules."),
    "serve": ("infraweave.cli.serve", "Serve workflows over HTTP from one SQLite file."),
    "tenants": ("infraweave.cli.tenants", "List and create tenants."),
    "tokens": ("infraweave.cli.tokens", "Create, list and revoke API tokens."),
    "webhooks": ("infraweave.cli.webhooks", "List, make and delete webhooks."),
    "workflows": ("infraweave.cli.workflows", "Check, draw, publish, compare and activate workflows."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the commands' names."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


@click.group(
    cls=LazyGroup,
    context_settings={"auto_envvar_prefix": "INFRAWEAVE", "help_option_names": ["-h", "--help"]},
    epilog="Example: infraweave serve workflows.example",
)
@click.version_option(package_name="infraweave")
def cli() -> None:
    """InfraWeave: durable workflows on one machine, in one process and one SQLite file."""


def main() -> None:
    """Run the command line."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort:
        fail("Interrupted.", code=1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except InfraWeaveError as error:
        fail(error.message, code=1)
    except BrokenPipeError:
        # Whoever read our output has gone; Python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
