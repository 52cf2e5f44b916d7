"""``infraweave serve``: the server, from its first token to its last checkpoint."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from attrs import evolve, frozen

from infraweave.cli.input_files import DEFAULT_FOLDER, load_workflows
from infraweave.cli.logging_setup import restore_logging, set_up_logging
from infraweave.cli.nonblocking_output import never_block_on_output, open_standard_streams
from infraweave.cli.options import access_options, outbound_options, parse_duration, parse_size
from infraweave.cli.output import FAILED, echo_err
from infraweave.cli.reload import WorkflowFileWatch, print_faults
from infraweave.core.access import is_token
from infraweave.errors import InfraWeaveError, StartupError, VersionConflict, WebhookConflict
from infraweave.settings import Settings

if TYPE_CHECKING:
    from infraweave.authoring.decorators import Workflow
    from infraweave.server.serving import Serving

LOOPBACK = ("127.0.0.1", "localhost", "::1")
#: What happens, under --reload, until workflow files that do not load are saved again.
GOES_ON = "The server goes on with what it has; it waits for the next save."
WAITS = "Nothing is served yet; the server waits for the next save."


@frozen(kw_only=True)
class ServeOptions:
    """The command's options."""

    workflows: tuple[Path, ...]
    db: Path
    host: str
    port: int
    ready_file: Path | None
    max_running: int
    grace: float
    reload: bool
    log_format: str
    allow_outbound: tuple[str, ...]
    outbound_ca: str | None
    secret: tuple[str, ...]
    secret_files: str | None
    keep: float
    keep_runs: int | None
    keep_bytes: int | None
    trust_clock: bool
    allow_host: tuple[str, ...]
    allow_origin: tuple[str, ...]
    limit: tuple[tuple[str, float], ...]
    access_log: bool


def _in_a_folder(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and not path.parent.is_dir():
        raise click.BadParameter(f"there is no folder {path.parent}")
    return path


@click.command(epilog="Example: infraweave serve workflows.example --db runs.db")
@click.argument("workflows", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--db", type=click.Path(path_type=Path), default=Path("infraweave.db"), show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8470, show_default=True, help="0: a free one.")
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_in_a_folder,
    help="Written once requests are answered.",
)
@click.option("--max-running", type=click.IntRange(1), default=Settings().max_running, show_default=True)
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=Settings().grace,
    show_default=True,
    help="Seconds that bodies get to finish or clean up.",
)
@click.option("--reload", is_flag=True, help="Restart when workflow files change and load.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--keep",
    callback=parse_duration,
    default="30d",
    show_default=True,
    metavar="DURATION|forever",
    help="How long runs stay once they have ended.",
)
@click.option(
    "--keep-runs", type=click.IntRange(0), help="How many ended runs stay, the newest; all by default."
)
@click.option(
    "--keep-bytes",
    callback=parse_size,
    metavar="SIZE",
    help="Remove ended runs, the oldest first, once the file holds more, such as 2GiB.",
)
@click.option(
    "--trust-clock",
    is_flag=True,
    help="Remove by the clock as it is now, however far it has leapt; else after a day.",
)
@click.option("--access-log/--no-access-log", default=True, help="One line an answer. On by default.")
@outbound_options
@access_options
def command(**options: Any) -> None:
    """Serve WORKFLOWS (files or folders, default workflows/) from one SQLite file."""
    chosen = ServeOptions(**options)
    open_standard_streams()
    never_block_on_output("stdout", "stderr")
    set_up_logging(chosen.log_format, access=chosen.access_log)
    asyncio.run(_serve(chosen))


def _serve(options: ServeOptions) -> Coroutine[Any, Any, None]:
    """Load the files and return what serves them: before there is a loop, for a file may run one itself."""
    from infraweave.authoring.loader import LoadError

    watch = WorkflowFileWatch(options.workflows or (DEFAULT_FOLDER,)) if options.reload else None
    try:
        workflows = load_workflows(options.workflows)
    except LoadError as error:
        if watch is None:
            raise
        return _wait_and_leave(watch, error)
    restore_logging()
    return _serve_loaded(options, workflows, watch)


async def _wait_and_leave(watch: WorkflowFileWatch, error: InfraWeaveError) -> None:
    _leave(await _wait_for_save(watch, error))


async def _serve_loaded(
    options: ServeOptions, workflows: Sequence[Workflow], watch: WorkflowFileWatch | None
) -> None:
    from infraweave.engine import garbage_collector

    try:
        garbage_collector.tune()
        ended = await _serve_until_stopped(options, workflows, watch)
    except (VersionConflict, WebhookConflict) as error:
        if watch is None:
            raise
        ended = await _wait_for_save(watch, error)
    _leave(ended)


async def _serve_until_stopped(
    options: ServeOptions, workflows: Sequence[Workflow], watch: WorkflowFileWatch | None
) -> str:
    """Serve; return "stop" once a signal came, or "reload" once changed workflow files load.

    "failed" in place of "stop", where the database has failed, and must be looked at anew.
    """
    from infraweave.server.serving import serving

    async with (
        _stop_signals() as stopped,
        serving(
            options.db,
            workflows,
            host=options.host,
            port=options.port,
            token=_admin_token(),
            settings=_settings(options),
        ) as server,
    ):
        _announce(options, server)
        conflicts = server.engine.catalog.conflicts
        ended = await _until(
            stopped, None if watch is None else watch.wait_until_loadable(GOES_ON, conflicts)
        )
    return "failed" if ended == "stop" and server.engine.db.failed is not None else ended


async def _wait_for_save(watch: WorkflowFileWatch, error: InfraWeaveError) -> str:
    """Tell why workflow files cannot be served; return as ``_serve_until_stopped`` does."""
    print_faults([error.message], WAITS)
    async with _stop_signals() as stopped:
        return await _until(stopped, watch.wait_until_loadable(WAITS))


def _settings(options: ServeOptions) -> Settings:
    limits: dict[str, Any] = dict(options.limit)
    return evolve(
        Settings(),
        max_running=options.max_running,
        grace=options.grace,
        allow_outbound=options.allow_outbound,
        outbound_ca=options.outbound_ca,
        secrets=options.secret,
        secret_files=options.secret_files,
        keep=None if math.isinf(options.keep) else options.keep,
        keep_runs=options.keep_runs,
        keep_bytes=options.keep_bytes,
        trust_clock=options.trust_clock,
        allow_hosts=options.allow_host,
        allow_origins=options.allow_origin,
        **limits,
    )


def _leave(ended: str) -> NoReturn:
    """End the process, or begin it anew; Python would wait for bodies that outlasted the grace period."""
    sys.stdout.flush()
    sys.stderr.flush()
    if ended == "reload":
        os.execv(sys.executable, [sys.executable, "-m", "infraweave", *sys.argv[1:]])  # noqa: S606
    os._exit(FAILED if ended == "failed" else 0)


def _admin_token() -> str | None:
    token = os.environ.get("INFRAWEAVE_ADMIN_TOKEN")
    if token and not is_token(token):
        raise StartupError(
            "INFRAWEAVE_ADMIN_TOKEN is no token: it is iw_live_, 30 base62 characters, and their checksum;"
            " make one with `infraweave tokens create`, or unset it and one is made."
        )
    return token or None


@asynccontextmanager
async def _stop_signals() -> AsyncIterator[asyncio.Event]:
    """Give an event that the first SIGTERM or SIGINT sets; a second signal ends the process at once."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        if stopped.is_set():
            os._exit(1)
        stopped.set()
        echo_err("Shutting down; a second signal ends this at once.")

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    yield stopped


async def _until(stopped: asyncio.Event, change: Coroutine[Any, Any, None] | None) -> str:
    """Return "stop" once a signal came, or "reload" once ``change`` has returned."""
    waits: set[asyncio.Task[Any]] = {asyncio.create_task(stopped.wait(), name="stop")}
    if change is not None:
        waits.add(asyncio.create_task(change, name="reload"))
    done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
        await asyncio.wait({task})
    first = done.pop()
    first.result()  # what went wrong with it, if anything did
    return first.get_name()


def _announce(options: ServeOptions, server: Serving) -> None:
    from infraweave.server.serving import write_token

    url, token, workflow_ids = server.url, server.token, server.engine.catalog.workflow_ids
    token_file = options.db.with_name(options.db.name + ".token")
    if token is not None:
        write_token(options.db, token)
        click.echo(
            f"New database {options.db}. The admin token, shown once and kept in {token_file}:\n\n  {token}\n"
        )
    click.echo(f"InfraWeave serves {', '.join(workflow_ids)} at {url}")
    code = server.sign_in_code
    signs_in = "" if code is None else f"#code={code}   (signs in once, within an hour)"
    click.echo(f"Console: {url}/console{signs_in}")
    secret = f"$(cat {token_file})" if token_file.exists() else "$INFRAWEAVE_TOKEN"
    click.echo(f'Try: curl -s {url}/v1/workflows -H "Authorization: Bearer {secret}"')
    if options.host not in LOOPBACK:
        click.echo(
            f"Listening on {options.host}: reachable from other machines, by token only; by its address,"
            " or by names that --allow-host gives."
        )
    if options.ready_file is not None:
        ready = {"url": url, "pid": os.getpid(), "db": str(options.db.resolve())}
        _write_atomically(options.ready_file, json.dumps(ready))


def _write_atomically(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(text + "\n")
    partial.replace(path)
