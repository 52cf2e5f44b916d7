"""nightly-backup: copy a SQLite database while it is in use, check the copy, and keep the newest seven.

A server that serves this workflow runs it every night at three, Zurich time. If the input names no database,
environment variables do. They are read when a run begins, so the workflow's version is the same on every
machine:

    BACKUP_DATABASE=app.db BACKUP_FOLDER=backups infraweave serve workflows.example
    infraweave run workflows.example/backup.py --input '{"database": "app.db", "folder": "backups"}'
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from attrs import frozen

from infraweave import Context, NonRetryable, Retry, Workflow


@frozen
class Job:
    #: If empty, BACKUP_DATABASE and BACKUP_FOLDER are used.
    database: str = ""
    folder: str = ""
    keep: int = 7


@frozen
class Copy:
    path: str
    bytes: int


flow = Workflow("nightly-backup", version="v1.0", input=Job)

flow.schedule("nightly", cron="0 3 * * *", timezone="Europe/Zurich", catch_up="last", overlap="skip")


@flow.node
def job(input: Job) -> Job:
    database = input.database or os.environ.get("BACKUP_DATABASE", "")
    if not database:
        raise NonRetryable("no database; name one in the input, or in BACKUP_DATABASE")
    return Job(database, input.folder or os.environ.get("BACKUP_FOLDER", "backups"), input.keep)


@flow.node(retry=Retry(max_attempts=5, initial=60), timeout="30m")
def copy(job: Job, ctx: Context) -> Copy:
    """Copy the pages with SQLite's own backup, so that writers need not wait for long."""
    source, folder = Path(job.database), Path(job.folder)
    if not source.is_file():
        raise NonRetryable(f"{source} is not a file")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{source.stem}.{datetime.now(UTC):%Y%m%dT%H%M%SZ}.db"
    partial = target.with_name(f"{target.name}.partial")
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as old,
        closing(sqlite3.connect(partial)) as new,
    ):
        old.backup(new, pages=1_000)
    partial.replace(target)
    ctx.log.info("copied %s to %s", source, target)
    return Copy(str(target), target.stat().st_size)


@copy.compensate
def remove(copy: Copy) -> None:
    Path(copy.path).unlink(missing_ok=True)


@flow.node(timeout="30m", retry=None)
def check(copy: Copy) -> str:
    """Let SQLite read the whole copy; if it is damaged, the compensation removes it."""
    with closing(sqlite3.connect(f"file:{copy.path}?mode=ro", uri=True)) as database:
        (verdict,) = database.execute("PRAGMA integrity_check").fetchone()
    if verdict != "ok":
        raise NonRetryable(f"{copy.path} is damaged: {verdict}")
    return verdict


@flow.node(after=[check])
def prune(copy: Copy, job: Job) -> dict[str, object]:
    """Remove all copies except the newest ones. Their names sort by time."""
    name = Path(job.database).stem
    copies = sorted(Path(job.folder).glob(f"{name}.*Z.db"))
    removed = copies[: -job.keep] if job.keep > 0 else []
    for path in removed:
        path.unlink()
    return {"kept": copy.path, "bytes": copy.bytes, "removed": [path.name for path in removed]}
