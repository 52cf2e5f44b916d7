"""Loads workflow files: Python modules that declare Workflows at their top level.

Each file is a module of its own under a name that no other module has; files beside it can be imported as
usual. What fails names the file, the line and the reason, for all files at once.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

from infraweave.authoring.decorators import Workflow
from infraweave.errors import DeclarationError, StartupError


class LoadError(StartupError):
    """Workflow files cannot be loaded; lists every fault."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


def load(paths: Iterable[str | Path]) -> list[Workflow]:
    """Return the compiled workflows of files and folders.

    Raises:
        LoadError: a file fails, declares nothing, or two declare one version differently.
    """
    faults: list[str] = []
    found: dict[tuple[str, str], tuple[Path, Workflow]] = {}
    for path in map(Path, paths):
        files = _files(path)
        if not files:
            faults.append(f"{path}: no workflow files")
        for file in files:
            for workflow in _load_file(file, faults, required=path.is_file()):
                _add(found, file, workflow, faults)
    if faults:
        raise LoadError(faults)
    return [workflow for _, workflow in found.values()]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return [file for file in sorted(path.glob("*.py")) if not file.name.startswith(("_", "."))]


def _load_file(file: Path, faults: list[str], *, required: bool) -> list[Workflow]:
    try:
        module = _import(file)
    except Exception as error:  # noqa: BLE001 - an author's file may raise anything
        faults.append(_fault(file, error))
        return []
    workflows = [value for value in vars(module).values() if isinstance(value, Workflow)]
    unique = list({id(workflow): workflow for workflow in workflows}.values())
    if required and not unique:
        faults.append(f"{file}: declares no Workflow at its top level")
    return unique


def _import(file: Path) -> ModuleType:
    resolved = file.resolve()
    name = f"infraweave_file_{hashlib.sha256(str(resolved).encode()).hexdigest()[:12]}_{resolved.stem}"
    spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    folder = str(resolved.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    sys.modules[name] = module  # dataclasses and pickling look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _fault(file: Path, error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f"{file}:{error.lineno}: {error.msg}"
    if isinstance(error, FileNotFoundError) and not file.exists():
        return f"{file}: no such file"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == file.resolve()]
    line = f":{frames[-1].lineno}" if frames else ""
    return f"{file}{line}: {type(error).__name__}: {error}"


def _add(
    found: dict[tuple[str, str], tuple[Path, Workflow]], file: Path, workflow: Workflow, faults: list[str]
) -> None:
    try:
        document = workflow.compile()
    except DeclarationError as error:
        faults += [
            f"{file}{_line(workflow, fault)}: workflow {error.workflow_id}: {fault}" for fault in error.faults
        ]
        return
    key = (document.workflow_id, document.version)
    other = found.get(key)
    if other is not None and other[1].compile() != document:
        faults.append(f"{file}: {key[0]} {key[1]} is declared with another content in {other[0]}")
    found[key] = (file, workflow)


def _line(workflow: Workflow, fault: str) -> str:
    """Return where the node stands that a fault begins with, if it has a function."""
    name = fault.partition(":")[0].partition(".")[0]
    functions = (d.function for d in workflow.declarations if d.name == name)
    code = getattr(next(functions, None), "__code__", None)
    return f":{code.co_firstlineno}" if code else ""
