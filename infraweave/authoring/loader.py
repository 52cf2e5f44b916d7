"""Loads workflow files: Python modules with Workflows at their top level, and definition documents.

Each file becomes a module with a unique name, and can import files beside it. Each fault is one line with the
file, the line and the reason; the faults of all files are reported at once.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, TypeAlias

from infraweave.authoring.decorators import Workflow
from infraweave.core.workflow.diff import first_difference
from infraweave.errors import DeclarationError, Fault, StartupError

#: Reads the workflow of a definition document file.
Read: TypeAlias = Callable[[Path], Workflow]
#: The most characters of a reason, so that a fault stays readable.
_MAX_REASON = 500


class LoadError(StartupError):
    """Workflow files cannot be loaded; lists every fault."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class Found(NamedTuple):
    """A workflow and the file that declares it."""

    file: Path
    workflow: Workflow


def load(paths: Iterable[str | Path], read: Read | None = None) -> list[Workflow]:
    """Return the compiled workflows of files and folders. ``read`` reads documents, which end in .json.

    Raises:
        LoadError: a file fails or declares nothing, or two files declare one version differently.
    """
    found, faults = survey(paths, read)
    if faults:
        raise LoadError(faults)
    return [workflow for _, workflow in found]


def survey(paths: Iterable[str | Path], read: Read | None = None) -> tuple[list[Found], list[str]]:
    """Return the workflows that compile, and the faults of the others."""
    faults: list[str] = []
    found: dict[tuple[str, str], Found] = {}
    folders: set[Path] = set()
    for path in map(Path, paths):
        before = len(found) + len(faults)
        for file in _files(path):
            folders.add(file.resolve().parent)
            for workflow in _load_file(file, folders, faults, read):
                _add(found, Found(file, workflow), faults)
        if len(found) + len(faults) == before and not _was_loaded(path, found.values()):
            faults.append(_nothing(path))
    return list(found.values()), faults


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = (file for file in sorted(path.glob("*.py")) if not file.name.startswith(("_", ".")))
    return [file for file in files if file.is_file()]


def _was_loaded(path: Path, found: Iterable[Found]) -> bool:
    """Tell whether workflows of this path were already found through another path."""
    files = {file.resolve() for file in _files(path)}
    return any(item.file.resolve() in files for item in found)


def _nothing(path: Path) -> str:
    if not path.is_dir():
        return f"{path}: declares no Workflow at its top level"
    return f"{path}: none of its files declares a Workflow" if _files(path) else f"{path}: no workflow files"


def _load_file(file: Path, folders: set[Path], faults: list[str], read: Read | None) -> list[Workflow]:
    try:
        if not file.exists():
            raise FileNotFoundError("no such file or folder")
        if read is not None and file.suffix == ".json":
            return [read(file)]
        module = _import(file)
        faults += _wrong_imports(file, folders)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - an author's file may raise anything
        faults.append(_fault(file, error))
        return []
    workflows = [value for value in vars(module).values() if isinstance(value, Workflow)]
    return list({id(workflow): workflow for workflow in workflows}.values())


def _import(file: Path) -> ModuleType:
    resolved = file.resolve()
    name = f"infraweave_file_{hashlib.sha256(str(resolved).encode()).hexdigest()[:12]}_{resolved.stem}"
    spec = importlib.util.spec_from_file_location(name.replace(".", "_"), resolved)
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file; its name must end in .py, or in .json for a document")
    module = importlib.util.module_from_spec(spec)
    folder = str(resolved.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    sys.modules[spec.name] = module  # dataclasses and pickle look up the module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module


def _wrong_imports(file: Path, folders: set[Path]) -> Iterator[str]:
    """Yield faults for imports that found a file of another folder instead of the file beside this one."""
    folder = file.resolve().parent
    for line, names in _imports(file):
        for name in names:
            place = getattr(sys.modules.get(name), "__file__", None)
            other = Path(place).resolve().parent if place else folder
            if (folder / f"{name}.py").exists() and other != folder and other in folders:
                yield f"{file}:{line}: it imports {name} from {other}, not from its folder; rename one"


def _imports(file: Path) -> Iterator[tuple[int, list[str]]]:
    for node in ast.walk(ast.parse(file.read_bytes())):
        match node:
            case ast.Import(names=aliases):
                yield node.lineno, [alias.name for alias in aliases]
            case ast.ImportFrom(module=str(name), level=0):
                yield node.lineno, [name]


# --- faults and their places -------------------------------------------------------------------------------


def _fault(file: Path, error: BaseException) -> str:
    """Return one line that says where and why a file failed to load."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename) == file.resolve()]
    line = f":{own[-1].lineno}" if own else ""
    if isinstance(error, SyntaxError) and error.filename is not None:
        if Path(error.filename) == file.resolve():
            line = f":{error.lineno}" if error.lineno else ""
            return f"{file}{line}: {_reason(error.msg)}"
        return f"{file}{line}: {error.filename}:{error.lineno}: {_reason(error.msg)}"
    if not own and isinstance(error, FileNotFoundError | ImportError | ValueError):
        return f"{file}: {_reason(error)}"
    return f"{file}{line}: {type(error).__name__}: {_reason(error)}"


def _reason(error: object) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= _MAX_REASON else text[: _MAX_REASON - 1] + "…"


def _add(found: dict[tuple[str, str], Found], item: Found, faults: list[str]) -> None:
    file, workflow = item
    try:
        document = workflow.compile()
    except DeclarationError as error:
        faults += (
            f"{file}{_line(file, workflow, fault)}: workflow {error.workflow_id}: {fault.message}"
            for fault in error.details
        )
        return
    key = (document.workflow_id, document.version)
    other = found.get(key)
    difference = first_difference(other.workflow.compile(), document) if other else None
    if other and difference:
        faults.append(
            f"{file}: workflow {key[0]}: version {key[1]} has different content in {other.file}"
            f" ({difference})"
        )
        return
    found[key] = item


def _line(file: Path, workflow: Workflow, fault: Fault) -> str:
    """Return the line of the node that a fault leads to, if its function is in the file."""
    part, *rest = fault.path.removeprefix("/").split("/")
    if part != "nodes" or not rest or int(rest[0]) >= len(workflow.declarations):
        return ""
    function = workflow.declarations[int(rest[0])].function
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    if code is None or Path(code.co_filename) != file.resolve():
        return ""
    return f":{code.co_firstlineno}"
