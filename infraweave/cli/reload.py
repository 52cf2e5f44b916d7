"""``serve --reload``: tells when workflow files have changed and load again.

Before a server stops for them, a process of its own loads them: nothing of a file with a mistake stays behind
in the server, which goes on with what it has.
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

#: Seconds between looks at the workflow files.
LOOK_EVERY = 0.5

#: Tells why documents that compile could not be loaded where they are to be served; with each it is told
#: whether the schema of its input was derived from a class.
Check: TypeAlias = Callable[[Sequence[tuple["Document", bool]]], Awaitable[list[str]]]


async def _no_faults(_: Sequence[tuple[Document, bool]]) -> list[str]:
    return []


class WorkflowFileWatch:
    """Workflow files as they were when this was made; to be made before they are loaded."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._seen = _stamps(paths)

    async def wait_until_loadable(self, goes_on: str, check: Check = _no_faults) -> None:
        """Return once files have changed and all load without a fault; tell the faults of those that do not.

        ``goes_on`` says after faults what happens meanwhile; ``check`` finds more faults in what compiles.
        """
        while True:
            await self._change()
            echo_err("A workflow file changed: looking whether it loads.")
            faults = await self._look(check)
            if faults == []:
                echo_err("It does: restarting.")
                return
            if faults is not None:
                print_faults(faults, goes_on)

    async def _change(self) -> None:
        while (stamps := _stamps(self._paths)) == self._seen:  # noqa: ASYNC110 - files send no events
            await asyncio.sleep(LOOK_EVERY)
        self._seen = stamps

    async def _look(self, check: Check) -> list[str] | None:
        """Return what is wrong with the files, or None where they changed again meanwhile."""
        look = asyncio.create_task(_faults(self._paths, check))
        try:
            while _stamps(self._paths) == self._seen:
                if (await asyncio.wait({look}, timeout=LOOK_EVERY))[0]:
                    return look.result()
            return None
        finally:
            look.cancel()
            await asyncio.wait({look})


def print_faults(faults: Sequence[str], goes_on: str) -> None:
    """Say on stderr what is wrong with workflow files, and what happens until it is mended."""
    echo_err("\n".join(faults))
    echo_err(goes_on)


def _stamps(paths: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    """Return what tells a file's saves apart, of all files that the paths' workflows may be made of."""
    found = {}
    for file in _files(paths):
        try:
            status = file.stat()
        except OSError:  # it is being replaced
            continue
        found[file] = (status.st_mtime_ns, status.st_size)
    return found


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield named files, those beside them, which they may import, and all below named folders."""
    for path in paths:
        if path.is_dir():
            yield from path.rglob("*.py")
        else:
            yield path
            yield from path.parent.glob("*.py")


# --- the look, in a process of its own ---------------------------------------------------------------------


async def _faults(paths: Sequence[Path], check: Check) -> list[str]:
    from infraweave.core.workflow import document_codec

    found = await _survey(paths)
    documents = [
        (document_codec.document_from_json(document), derived) for document, derived in found["documents"]
    ]
    return found["faults"] or await check(documents)


async def _survey(paths: Sequence[Path]) -> Any:
    """Have the files looked at; the process is gone when this returns, also where it is cancelled."""
    from infraweave.core.data import json_codec

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, *map(str, paths)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C at the terminal is for the server alone
    )
    try:
        answer, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        return json_codec.loads(answer)
    return {"faults": [f"the process that loads them ended with code {process.returncode}"], "documents": []}


def _answer(paths: Sequence[Path]) -> None:
    """Write what files declare, and what is wrong with them, as JSON on stdout, and nothing else there."""
    from infraweave.core.data.json_codec import dumps
    from infraweave.core.workflow.document_codec import document_to_json

    stdout = os.dup(1)
    os.dup2(2, 1)  # what files print, by whatever means
    try:
        found, faults = survey_workflows(paths)
    except StartupError as error:
        found, faults = [], [error.message]
    every = [workflow.compiled for _, workflow in found]
    documents = [[document_to_json(compiled.document), compiled.derived] for compiled in every]
    with os.fdopen(stdout, "wb") as file:
        file.write(dumps({"faults": faults, "documents": documents}))
    os._exit(0)  # threads that files began are not waited for


if __name__ == "__main__":
    _answer([Path(argument) for argument in sys.argv[1:]])
