"""What the figures were measured on: without it they say nothing."""

from __future__ import annotations

import os
import platform
import sqlite3
import sysconfig
from pathlib import Path


def describe(folder: Path) -> dict[str, str]:
    """Return the machine, the build of Python and SQLite, and the file system of a folder."""
    return {
        "cpu": f"{os.cpu_count()} cores, {_cpu()}",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}, {build()}",
        "sqlite": sqlite3.sqlite_version,
        "file system": _file_system(folder),
    }


def build() -> str:
    """Say how Python was built; an optimised build runs the engine 1.15 to 1.35 times as fast."""
    names = ("CONFIG_ARGS", "PY_CFLAGS", "PY_CFLAGS_NODIST", "PY_LDFLAGS_NODIST", "PGO_PROF_USE_FLAG")
    given = {name: str(sysconfig.get_config_var(name) or "") for name in names}
    options = given["CONFIG_ARGS"]
    profiled = "--enable-optimizations" in options or "-fprofile-use" in given["PY_CFLAGS_NODIST"]
    linked = "--with-lto" in options or "-flto" in given["PY_CFLAGS_NODIST"] + given["PY_LDFLAGS_NODIST"]
    return f"{'with' if profiled else 'without'} PGO, {'with' if linked else 'without'} LTO"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "unknown")


def _file_system(folder: Path) -> str:
    """Return the type of the mount that holds a folder."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "unknown"
    over = [(len(mount[1]), mount[2]) for mount in mounts if folder.resolve().is_relative_to(mount[1])]
    return max(over)[1] if over else "unknown"
