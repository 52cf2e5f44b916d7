"""``serve --reload``: waits until workflow files have changed and can be loaded.

A separate process tries to load the changed files. The server restarts only if they load without a fault, so
it keeps running with the old files after a mistake.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from infraweave.cli.input_files import survey_workflows
from infraweave.cli.output import echo_err
from infraweave.errors import StartupError

if TYPE_CHECKING:
    from infraweave.core.workflow.document import Document

#: Seconds between checks for changed files.
POLL_INTERVAL = 0.5

#: Returns why a server cannot load compiled documents. The flag of a document says whether its input schema
#: was derived from a class.
Check: TypeAlias = Callable[[Sequence[tuple["Document", bool]]], Awaitable[list[str]]]


async def _no_faults(_: Sequence[tuple[Document, bool]]) -> list[str]:
    return []


class WorkflowFileWatch:
    """Watches workflow files for changes. Create it before loading the files."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._seen = _fingerprints(paths)

    async def wait_until_loadable(self, meanwhile: str, check: Check = _no_faults) -> None:
        """Return once files have changed and all of them load. Print the faults of those that do not.

        ``meanwhile`` is printed after faults and says what the server does. ``check`` finds more faults in
        documents that compile.
        """
        while True:
            await self._change()
            echo_err("A workflow file changed; checking whether it loads.")
            faults = await self._try_to_load(check)
            if faults == []:
                echo_err("It loads; restarting.")
                return
            if faults is not None:
                print_faults(faults, meanwhile)

    async def _change(self) -> None:
        while (stamps := _fingerprints(self._paths)) == self._seen:  # noqa: ASYNC110 - files send no events
            await asyncio.sleep(POLL_INTERVAL)
        self._seen = stamps

    async def _try_to_load(self, check: Check) -> list[str] | None:
        """Return the faults of the files, or None if they changed again meanwhile."""
        look = asyncio.create_task(_faults(self._paths, check))
        try:
            while _fingerprints(self._paths) == self._seen:
                if (await asyncio.wait({look}, timeout=POLL_INTERVAL))[0]:
                    return look.result()
            return None
        finally:
            look.cancel()
            await asyncio.wait({look})


def print_faults(faults: Sequence[str], meanwhile: str) -> None:
    """Print the faults of workflow files, and what the server does until they are corrected."""
    echo_err("\n".join(faults))
    echo_err(meanwhile)


def _fingerprints(paths: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    """Return the time and size of every file that the workflows may consist of, to detect changes."""
    found = {}
    for file in _files(paths):
        try:
            status = file.stat()
        except OSError:  # the file is being replaced
            continue
        found[file] = (status.st_mtime_ns, status.st_size)
    return found


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the given files, the files beside them, which they may import, and files below given folders."""
    for path in paths:
        if path.is_dir():
            yield from path.rglob("*.py")
        else:
            yield path
            yield from path.parent.glob("*.py")


# --- loading in a separate process -------------------------------------------------------------------------


async def _faults(paths: Sequence[Path], check: Check) -> list[str]:
    from infraweave.core.workflow import document_codec

    found = await _survey(paths)
    documents = [
        (document_codec.document_from_json(document), derived) for document, derived in found["documents"]
    ]
    return found["faults"] or await check(documents)


async def _survey(paths: Sequence[Path]) -> Any:
    """Load the files in a separate process, which has ended when this returns or is cancelled."""
    from infraweave.core.data import json_codec

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, *map(str, paths)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C at the terminal must reach only the server
    )
    try:
        answer, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        return json_codec.loads(answer)
    return {
        "faults": [f"the process that loads the files exited with code {process.returncode}"],
        "documents": [],
    }


def _report(paths: Sequence[Path]) -> None:
    """Write the documents and faults of the files to stdout as JSON, and nothing else."""
    from infraweave.core.data.json_codec import dumps
    from infraweave.core.workflow.document_codec import document_to_json

    stdout = os.dup(1)
    os.dup2(2, 1)  # redirects everything that the files print
    try:
        found, faults = survey_workflows(paths)
    except StartupError as error:
        found, faults = [], [error.message]
    every = [workflow.compiled for _, workflow in found]
    documents = [[document_to_json(compiled.document), compiled.derived] for compiled in every]
    with os.fdopen(stdout, "wb") as file:
        file.write(dumps({"faults": faults, "documents": documents}))
    os._exit(0)  # do not wait for threads that the files started


if __name__ == "__main__":
    _report([Path(argument) for argument in sys.argv[1:]])
