"""The entry point. It imports a command's module only when the command is called, so --help is fast.

Exit codes: 0 done, 1 the run or check failed, 2 usage, 3 server unreachable, 4 denied. An error prints one
line that says what to do, never a traceback.
"""

from __future__ import annotations

import importlib
import os
import sys

import click

from infraweave.cli.output import escape_unencodable_output, fail
from infraweave.errors import InfraWeaveError

#: command → (module, its line in --help)
COMMANDS = {
    "audit": ("infraweave.cli.audit", "Show the audit log: who did what, and what was denied."),
    "db": ("infraweave.cli.db", "Inspect, verify, back up and prune a database file."),
    "doctor": ("infraweave.cli.doctor", "Check this machine and a database file for problems."),
    "grants": ("infraweave.cli.grants", "List, add and delete grants."),
    "principals": ("infraweave.cli.principals", "List, create and delete principals."),
    "run": ("infraweave.cli.run", "Execute one run in this process, without a server."),
    "runs": ("infraweave.cli.runs", "Start, list, show, watch, cancel, signal and rerun runs."),
    "schedules": ("infraweave.cli.schedules", "List, create, pause and trigger schedules."),
    "serve": ("infraweave.cli.serve", "Serve workflows over HTTP from one SQLite file."),
    "tenants": ("infraweave.cli.tenants", "List and create tenants."),
    "tokens": ("infraweave.cli.tokens", "Create, list and revoke API tokens."),
    "webhooks": ("infraweave.cli.webhooks", "List, create and delete webhooks."),
    "workflows": ("infraweave.cli.workflows", "Check, draw, publish, compare and activate workflows."),
}


class LazyGroup(click.Group):
    """A command group that imports each command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        _name_variables(command, f"INFRAWEAVE_{cmd_name}")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


def _name_variables(command: click.Command, path: str) -> None:
    """Derive environment variables from option names; click derives them from parameter names."""
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            _name_variables(below, f"{path}_{name}")
    for option in command.params:
        if isinstance(option, click.Option) and option.envvar is None:
            typed = [name[2:].replace("-", "_") for name in option.opts if name.startswith("--")]
            others = [f"{path}_{name}".upper().replace("-", "_") for name in typed if name != option.name]
            option.envvar = others or None


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
    escape_unencodable_output()
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort:
        fail("Interrupted.", code=1)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        where = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        fail(" ".join(error.format_message().split()) + where, code=error.exit_code)
    except click.ClickException as error:
        fail(error.format_message(), code=error.exit_code)
    except InfraWeaveError as error:
        fail(error.message, code=1)
    except BrokenPipeError:
        # The reader of our output is gone. Without this, Python would report it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
