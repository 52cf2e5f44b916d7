"""``infraweave serve``: runs the server."""

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
from attrs import evolve

from infraweave.cli.input_files import DEFAULT_FOLDER, load_workflows
from infraweave.cli.logging_setup import restore_logging, set_up_logging
from infraweave.cli.nonblocking_output import never_block_on_output, open_standard_streams
from infraweave.cli.options import access_options, db_option, outbound_options, parse_duration, parse_size
from infraweave.cli.output import FAILED, echo_err
from infraweave.cli.reload import WorkflowFileWatch, print_faults
from infraweave.core.access import is_token
from infraweave.core.lazy_records import frozen
from infraweave.errors import InfraWeaveError, StartupError, VersionConflict, WebhookConflict
from infraweave.settings import Settings

if TYPE_CHECKING:
    from infraweave.authoring.decorators import Workflow
    from infraweave.server.serving import Serving

LOOPBACK = ("127.0.0.1", "localhost", "::1")
#: What the server does, with --reload, after workflow files failed to load.
KEEPS_RUNNING = "The server keeps the old version; it waits for the next save."
NOT_STARTED = "The server has not started; it waits for the next save."


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


class _ServeCommand(click.Command):
    """Reads its options with the garbage collector at rest: some of them import parts of the server."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Return the context of the call, with all options."""
        from infraweave.engine import garbage_collector

        with garbage_collector.paused_for_imports():
            return super().make_context(*args, **options)


def _check_folder(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and not path.parent.is_dir():
        raise click.BadParameter(f"there is no folder {path.parent}")
    return path


@click.command(cls=_ServeCommand, epilog="Example: infraweave serve workflows.example --db runs.db")
@click.argument("workflows", nargs=-1, type=click.Path(exists=True, path_type=Path))
@db_option
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8470, show_default=True, help="0: any free port."
)
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_check_folder,
    help="Written once the server answers requests.",
)
@click.option(
    "--max-running",
    type=click.IntRange(1),
    default=Settings().max_running,
    show_default=True,
    help="The most runs that execute at once.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=Settings().grace,
    show_default=True,
    help="Seconds that running nodes get to finish or clean up.",
)
@click.option("--reload", is_flag=True, help="Restart when workflow files change.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="The format of log lines.",
)
@click.option(
    "--keep",
    callback=parse_duration,
    default="30d",
    show_default=True,
    metavar="DURATION|forever",
    help="How long ended runs are kept.",
)
@click.option(
    "--keep-runs",
    type=click.IntRange(0),
    metavar="N",
    help="Keep only the newest N ended runs. Default: all.",
)
@click.option(
    "--keep-bytes",
    callback=parse_size,
    metavar="SIZE",
    help="Remove the oldest ended runs while the file is larger, such as 2GiB.",
)
@click.option(
    "--trust-clock",
    is_flag=True,
    help="Remove old runs even if the clock jumped. Default: only after a day.",
)
@click.option("--access-log/--no-access-log", default=True, help="Log each response. On by default.")
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
    """Load the files and return the server. No event loop runs yet, because a file may run its own."""
    from infraweave.engine import garbage_collector

    with garbage_collector.paused_for_imports():
        import infraweave.server.serving  # noqa: F401 - loads all that a server needs
        from infraweave.authoring.loader import LoadError

    watch = WorkflowFileWatch(options.workflows or (DEFAULT_FOLDER,)) if options.reload else None
    try:
        workflows = load_workflows(options.workflows)
    except LoadError as error:
        if watch is None:
            raise
        return _wait_and_exit(watch, error)
    restore_logging()
    return _serve_loaded(options, workflows, watch)


async def _wait_and_exit(watch: WorkflowFileWatch, error: InfraWeaveError) -> None:
    _exit(await _wait_for_save(watch, error))


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
    _exit(ended)


async def _serve_until_stopped(
    options: ServeOptions, workflows: Sequence[Workflow], watch: WorkflowFileWatch | None
) -> str:
    """Serve; return "stop" after a signal, or "reload" once changed workflow files load.

    Return "failed" instead of "stop" if the database failed.
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
            stopped, None if watch is None else watch.wait_until_loadable(KEEPS_RUNNING, conflicts)
        )
    return "failed" if ended == "stop" and server.engine.db.failed is not None else ended


async def _wait_for_save(watch: WorkflowFileWatch, error: InfraWeaveError) -> str:
    """Print why workflow files cannot be served; return like ``_serve_until_stopped``."""
    print_faults([error.message], NOT_STARTED)
    async with _stop_signals() as stopped:
        return await _until(stopped, watch.wait_until_loadable(NOT_STARTED))


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


def _exit(ended: str) -> NoReturn:
    """End or restart the process. A normal exit would wait for nodes that outlasted the grace period."""
    sys.stdout.flush()
    sys.stderr.flush()
    if ended == "reload":
        os.execv(sys.executable, [sys.executable, "-m", "infraweave", *sys.argv[1:]])  # noqa: S606
    os._exit(FAILED if ended == "failed" else 0)


def _admin_token() -> str | None:
    token = os.environ.get("INFRAWEAVE_ADMIN_TOKEN")
    if token and not is_token(token):
        raise StartupError(
            "INFRAWEAVE_ADMIN_TOKEN is not a valid token: iw_live_, 30 base62 characters and a checksum."
            " Create one with `infraweave tokens create`, or unset the variable to get a new one."
        )
    return token or None


@asynccontextmanager
async def _stop_signals() -> AsyncIterator[asyncio.Event]:
    """Yield an event that the first SIGTERM or SIGINT sets. A second signal ends the process at once."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        if stopped.is_set():
            os._exit(1)
        stopped.set()
        echo_err("Shutting down; a second signal ends the process at once.")

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    yield stopped


async def _until(stopped: asyncio.Event, change: Coroutine[Any, Any, None] | None) -> str:
    """Return "stop" after a signal, or "reload" once ``change`` returned."""
    waits: set[asyncio.Task[Any]] = {asyncio.create_task(stopped.wait(), name="stop")}
    if change is not None:
        waits.add(asyncio.create_task(change, name="reload"))
    done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
        await asyncio.wait({task})
    first = done.pop()
    first.result()  # raises its error, if it failed
    return first.get_name()


def _announce(options: ServeOptions, server: Serving) -> None:
    from infraweave.server.serving import write_token

    url, token, workflow_ids = server.url, server.token, server.engine.catalog.workflow_ids
    token_file = options.db.with_name(options.db.name + ".token")
    if token is not None:
        write_token(options.db, token)
        click.echo(
            f"New database {options.db}. Admin token (shown only now; kept in {token_file}):\n\n  {token}\n"
        )
    click.echo(f"InfraWeave serves {', '.join(workflow_ids)} at {url}")
    code = server.sign_in_code
    signs_in = "" if code is None else f"#code={code}   (valid for one sign-in, within an hour)"
    click.echo(f"Console: {url}/console{signs_in}")
    secret = f"$(cat {token_file})" if token_file.exists() else "$INFRAWEAVE_TOKEN"
    click.echo(f'Try: curl -s {url}/v1/workflows -H "Authorization: Bearer {secret}"')
    if options.host not in LOOPBACK:
        click.echo(
            f"Listening on {options.host}: other machines can connect, with a token, to this address or to a"
            " name given with --allow-host."
        )
    if options.ready_file is not None:
        ready = {"url": url, "pid": os.getpid(), "db": str(options.db.resolve())}
        _write_atomically(options.ready_file, json.dumps(ready))


def _write_atomically(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(text + "\n")
    partial.replace(path)
