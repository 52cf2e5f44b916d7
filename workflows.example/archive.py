"""archive-folder: pack a folder into a tar.gz and verify it by reading it back; on failure, remove it.

A person must agree before a large folder is packed. The archive is written under a temporary name, so a crash
never leaves an incomplete archive under the real name. If the run fails or is cancelled later, the archive is
removed.

    infraweave run workflows.example/archive.py --input '{"folder": "infraweave", "target": "/tmp/iw.tar.gz"}'
"""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

from attrs import frozen

from infraweave import Context, NonRetryable, Retry, Workflow

MEGABYTE = 1_000_000


@frozen
class Job:
    folder: str
    target: str
    #: Above this size in megabytes a person must agree.
    ask_above_mb: float = 100.0


@frozen
class Listing:
    #: Path within the folder → SHA-256.
    files: dict[str, str]
    bytes: int


@frozen
class Consent:
    go_ahead: bool


@frozen
class Archive:
    path: str
    bytes: int


flow = Workflow("archive-folder", version="v1.0", input=Job)


@flow.node(timeout="10m")
def scan(input: Job, ctx: Context) -> Listing:
    folder = Path(input.folder)
    if not folder.is_dir():
        raise NonRetryable(f"{folder} is not a folder")
    files, size = {}, 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()):
        stop_if_cancelled(ctx)
        files[path.relative_to(folder).as_posix()] = sha256(path.read_bytes())
        size += path.stat().st_size
    return Listing(files, size)


@flow.router(routes=["consent"])
def size_gate(scan: Listing, input: Job) -> list[str]:
    return ["consent"] if scan.bytes > input.ask_above_mb * MEGABYTE else []


@flow.human_input(schema=Consent, timeout="24h")
def consent(scan: Listing, input: Job) -> str:
    return f"Pack {len(scan.files)} files, {scan.bytes / MEGABYTE:.1f} MB, from {input.folder}?"


@flow.node(retry=Retry(max_attempts=2), timeout="30m", after=[size_gate])
def pack(scan: Listing, input: Job, consent: Consent | None = None, *, ctx: Context) -> Archive:
    if consent is not None and not consent.go_ahead:
        raise NonRetryable("a person refused to pack the folder")
    target = Path(input.target)
    partial = target.with_name(f"{target.name}.{ctx.idempotency_key}.partial")
    try:
        with tarfile.open(partial, "w:gz") as archive:
            for name in scan.files:
                stop_if_cancelled(ctx)
                archive.add(Path(input.folder) / name, arcname=name)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return Archive(str(target), target.stat().st_size)


@pack.compensate
def remove(pack: Archive) -> None:
    Path(pack.path).unlink(missing_ok=True)


@flow.node(retry=None, timeout="30m")
def verify(pack: Archive, scan: Listing, ctx: Context) -> dict[str, object]:
    """Read every file back and compare it; a difference fails the run, which then removes the archive."""
    found = {}
    with tarfile.open(pack.path, "r:gz") as archive:
        for member in archive:
            stop_if_cancelled(ctx)
            content = archive.extractfile(member)
            found[member.name] = sha256(content.read()) if content else ""
    if found != scan.files:
        wrong = sorted(name for name in scan.files | found if scan.files.get(name) != found.get(name))
        raise NonRetryable(f"the archive differs from the folder: {', '.join(wrong[:5])}")
    return {"path": pack.path, "files": len(found), "bytes": scan.bytes, "packed_bytes": pack.bytes}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def stop_if_cancelled(ctx: Context) -> None:
    """Stop this thread if its run was cancelled; threads cannot be stopped from outside."""
    if ctx.cancelled:
        raise InterruptedError("asked to stop")
