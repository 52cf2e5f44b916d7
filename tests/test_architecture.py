"""The rules of the house, checked by a machine. An exception stands in a list here, with its reason."""

from __future__ import annotations

import ast
import re
import statistics
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "infraweave"
FILES = sorted(ROOT.rglob("*.py"))

#: floor → the floors it may import
FLOORS = {
    "cli": {"server", "api", "engine", "store", "authoring", "core", "client", "settings", "errors"},
    "testing": {"server", "api", "engine", "store", "authoring", "core", "client", "settings"},
    "server": {"api", "engine", "authoring", "core", "client", "settings", "errors"},
    "api": {"engine", "store", "core", "settings", "errors"},
    "engine": {"store", "authoring", "core", "settings", "errors", "failpoints", "forks"},
    "store": {"core", "errors", "failpoints"},
    "authoring": {"core", "errors"},
    "core": {"errors"},
    "client": set(),
    "settings": set(),
    "failpoints": set(),
    "forks": set(),
    "errors": set(),
}
#: How classes are made: every floor may import these, and they import nothing of ours but each other.
MADE_BY = {"infraweave.core.records", "infraweave.core.lazy_records"}
#: floor → the packages from outside that it may import, beside attrs
PACKAGES = {
    "cli": {"click", "httpx", "packaging"},  # httpx: an unreachable server is no refusal; packaging: doctor
    "server": {"hypercorn", "h11", "httpx"},
    "api": {"quart", "werkzeug", "prometheus_client"},  # werkzeug is Quart's own half
    "engine": {"httpx", "httpcore"},  # what http nodes send
    "store": {"aiosqlite"},
    "client": {"httpx", "httpx_sse"},
    "testing": {"pytest"},
}
#: folder of the API → the other folders it may import
API_FOLDERS = {
    "http": set(),
    "runs": {"http"},
    "workflows": {"http"},
    "admin": {"http"},
    "service": {"http"},
    "triggers": {"http", "runs"},  # schedules and webhooks start runs
}
#: The only modules of core with a package of their own.
CORE_PACKAGES = {
    "data/json_codec.py": {"orjson"},
    "data/python_types.py": {"cattrs", "orjson"},
    "workflow/document_codec.py": {"cattrs"},
    "data/expressions.py": {"cel_expr_python"},
    "data/json_schema.py": {"jsonschema_rs"},
    "workflow/schedules.py": {"cronsim"},
}
#: room of core → the rooms of core that it may import; the modules beside the rooms import none. Any of them
#: may use the decorators of ``records`` and ``lazy_records``.
CORE_ROOMS = {
    "data": {"data"},
    "workflow": {"workflow", "data"},
    "layout": {"layout", "workflow"},
    "run": {"run", "workflow", "data"},
}
#: room of the store → the rooms of the store that it may import; "": the modules beside the folders
STORE_ROOMS = {
    "sqlite": {"sqlite"},
    "": {"sqlite", ""},
    "maintenance": {"sqlite", "", "maintenance"},
}
#: Modules that core must not touch: clocks, chance, logging, files, databases, the loop.
IMPURE = {
    "time",
    "random",
    "secrets",
    "logging",
    "pathlib",
    "os",
    "sqlite3",
    "asyncio",
    "io",
    "socket",
    "uuid",
}
#: room of engine → the other rooms and flat modules of engine that it may import. The catalog, the engine
#: itself and other flat modules stand above the rooms.
ENGINE_ROOMS = {
    "execution": {"clock", "fair_queue"},
    "admission": {"fair_queue"},
    "access": {"clock", "clock_trust"},
    "runs": {"execution", "admission", "catalog", "clock"},
    "triggers": {"runs", "clock"},
}
#: Rooms of engine that do not know the store: what they decide and call does not depend on what is kept.
ENGINE_WITHOUT_STORE = {"execution", "admission"}
#: These name uuid.UUID, datetime and Decimal as types only.
IMPURE_EXCEPTIONS = {("data/type_schema.py", "uuid"), ("data/python_types.py", "uuid")}
#: Where blind excepts may stand: around a node's body, what it raised and the thread that calls it, around an
#: author's file and an author's validators, at the outermost request, and where a file is read that may be
#: damaged in any way.
BLIND = {
    "engine/execution/conversion.py",
    "engine/execution/process_worker.py",
    "engine/execution/exception_text.py",
    "engine/execution/thread_pool.py",
    "authoring/loader.py",
    "core/data/model_libraries.py",
    "api/http/asgi_middleware.py",
    "api/http/lane.py",
    "store/sqlite/writer.py",
    "store/sqlite/writer_thread.py",
    "store/sqlite/batch.py",
    "store/maintenance/verify_run.py",
}


def floor_of(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def _in_core(file: Path) -> str:
    return str(file.relative_to(ROOT / "core"))


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def functions() -> Iterator[tuple[str, int]]:
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{file.relative_to(ROOT)}:{node.lineno} {node.name}", _length(node)


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of the body, its docstring left out."""
    body = function.body
    first = body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and len(body) > 1:
        first = body[1]
    return (function.end_lineno or 0) - first.lineno + 1


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_floor_imports_only_the_floors_below_it(file):
    floor = floor_of(file)
    if floor not in FLOORS:
        return  # __init__ and __main__: the doors
    ours = {name for name in imports(file) if name.startswith("infraweave.")} - MADE_BY
    assert {name.split(".")[1] for name in ours} <= FLOORS[floor] | {floor}


@pytest.mark.parametrize("folder", API_FOLDERS)
def test_a_folder_of_the_api_knows_no_other_resource(folder):
    """Only ``app``, ``routes`` and ``openapi`` beside the folders know all of them."""
    known = {f"infraweave.api.{name}" for name in {folder} | API_FOLDERS[folder]}
    for file in (ROOT / "api" / folder).rglob("*.py"):
        reached = {name for name in imports(file) if name.startswith("infraweave.api")}
        assert {name for name in reached if ".".join(name.split(".")[:3]) not in known} == set(), file


def test_every_resource_of_the_api_has_routes_and_schemas():
    for folder in set(API_FOLDERS) - {"http"}:
        assert {"routes.py", "schemas.py"} <= {file.name for file in (ROOT / "api" / folder).iterdir()}
    folders = {path.name for path in (ROOT / "api").iterdir() if (path / "__init__.py").exists()}
    assert folders == set(API_FOLDERS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_floor_imports_only_its_own_packages(file):
    floor = floor_of(file)
    outside = {name.split(".")[0] for name in imports(file)} - set(sys.stdlib_module_names)
    allowed = PACKAGES.get(floor, set()) | {"attrs", "infraweave"}
    if floor == "core":
        allowed |= CORE_PACKAGES.get(_in_core(file), set())
    assert outside <= allowed


@pytest.mark.parametrize("file", sorted((ROOT / "core").rglob("*.py")), ids=_in_core)
def test_core_is_pure(file):
    tree = ast.parse(file.read_text())
    touched = {name.split(".")[0] for name in imports(file)} & IMPURE
    assert {name for name in touched if (_in_core(file), name) not in IMPURE_EXCEPTIONS} == set()
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]
    assert "datetime.now" not in file.read_text()


@pytest.mark.parametrize("file", sorted((ROOT / "core").rglob("*.py")), ids=_in_core)
def test_a_room_of_core_imports_only_the_rooms_below_it(file):
    room = _in_core(file).rpartition("/")[0].partition("/")[0]
    reached = {name.split(".")[2] for name in imports(file) if name.startswith("infraweave.core.")}
    assert reached <= CORE_ROOMS.get(room, set()) | {"records", "lazy_records"}


def _in_engine(file: Path) -> str:
    return str(file.relative_to(ROOT / "engine"))


@pytest.mark.parametrize("file", sorted((ROOT / "engine").glob("*/*.py")), ids=_in_engine)
def test_a_room_of_engine_imports_only_the_rooms_below_it(file):
    room = file.parent.name
    imported = list(imports(file))
    reached = {name.split(".")[2] for name in imported if name.startswith("infraweave.engine.")} - {room}
    assert reached <= ENGINE_ROOMS[room]
    if room in ENGINE_WITHOUT_STORE:
        assert not [name for name in imported if name.startswith("infraweave.store")]


def _store_room(module: str) -> str:
    name = module.removeprefix("infraweave.store.").partition(".")[0]
    return name if name in STORE_ROOMS else ""


@pytest.mark.parametrize("file", sorted((ROOT / "store").rglob("*.py")), ids=lambda file: file.name)
def test_a_room_of_the_store_imports_only_the_rooms_below_it(file):
    modules = _imported_modules(file, {_module(other) for other in FILES})
    reached = {_store_room(name) for name in modules if name.startswith("infraweave.store.")}
    assert reached <= STORE_ROOMS[_store_room(_module(file))]


def test_only_the_command_line_uses_the_offline_tools_of_the_store():
    users = {floor_of(file) for file in FILES if any("store.maintenance" in name for name in imports(file))}
    assert users == {"cli", "store"}


#: Both load the names that they offer when asked for them, and import them for the type checker only.
LAZY = {"infraweave", "infraweave.testing"}


def _module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def _imported_modules(file: Path, modules: set[str]) -> set[str]:
    """Return the modules of ours that a module imports anywhere, also for the type checker alone."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names if names <= modules else names | {node.module}
    return found & modules


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    found, work = set(), [start]
    while work:
        new = graph[work.pop()] - found
        found |= new
        work += new
    return found


def test_modules_form_no_import_circle():
    modules = {_module(file): file for file in FILES}
    graph = {name: _imported_modules(file, set(modules)) for name, file in modules.items()}
    graph |= {name: set() for name in LAZY}
    reachable = {name: _reachable(graph, name) for name in graph}
    circles = {
        frozenset(other for other in reachable[name] if name in reachable[other])
        for name in graph
        if name in reachable[name]
    }
    assert [sorted(circle) for circle in circles] == []


def test_only_the_clock_reads_time_and_draws_chance():
    seams = {"time", "random", "secrets", "uuid"}
    touching = {
        str(file.relative_to(ROOT))
        for file in FILES
        if {name.split(".")[0] for name in imports(file)} & seams
    }
    assert touching == {"engine/clock.py", "core/data/python_types.py", "core/data/type_schema.py"}


def test_only_the_store_knows_sqlite():
    touching = {floor_of(file) for file in FILES if {"sqlite3", "aiosqlite"} & set(imports(file))}
    assert touching == {"store"}


def test_functions_are_short():
    lengths = dict(functions())
    assert statistics.median(lengths.values()) <= 7
    assert statistics.quantiles(lengths.values(), n=10)[-1] <= 25
    assert {name: length for name, length in lengths.items() if length > 50} == {}


def test_blind_excepts_stand_only_where_strangers_code_runs():
    blind = set()
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ExceptHandler) and _catches_all(node):
                blind.add(str(file.relative_to(ROOT)))
    assert blind <= BLIND


def _catches_all(handler: ast.ExceptHandler) -> bool:
    reraises = any(isinstance(node, ast.Raise) and node.exc is None for node in ast.walk(handler))
    caught = [] if handler.type is None else [n.id for n in ast.walk(handler.type) if isinstance(n, ast.Name)]
    return not reraises and (not caught or bool({"Exception", "BaseException"} & set(caught)))


CONSOLE = ROOT / "console"
SCRIPTS = sorted(CONSOLE.rglob("*.js"))
#: The path in ``import … from "…"``, ``export … from "…"``, ``import "…"`` and ``import("…")``.
IMPORT = re.compile(r"""\b(?:from|import)\b\s*\(?\s*["']([^"'\s]+\.js)["']""")
#: folder of the console → the folders that its modules may import
CONSOLE_FOLDERS = {"lib": {"lib"}, "run": {"lib", "run"}, "pages": {"lib", "run", "pages"}}


def _script_imports(script: Path) -> set[Path]:
    """Return the modules that a module of the console imports, also those that it loads later."""
    found = IMPORT.findall(script.read_text())
    return {(script.parent / path).resolve() for path in found}


def test_modules_of_the_console_import_modules_that_exist():
    assert [script for script in SCRIPTS if "pages" in script.parts and not _script_imports(script)] == []
    missing = {script.name: _script_imports(script) - set(SCRIPTS) for script in SCRIPTS}
    assert {name: paths for name, paths in missing.items() if paths} == {}


def test_modules_of_the_console_form_no_import_circle():
    graph = {script: _script_imports(script) for script in SCRIPTS}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("folder", CONSOLE_FOLDERS)
def test_a_folder_of_the_console_imports_only_the_folders_below_it(folder):
    reached = {
        (str(script.relative_to(CONSOLE)), path.parent.name)
        for script in SCRIPTS
        for path in _script_imports(script)
        if script.parent.name == folder and path.parent.name not in CONSOLE_FOLDERS[folder]
    }
    assert reached == set()


def test_every_module_of_the_console_is_in_a_folder_of_its_own_but_the_first():
    assert {script.name for script in SCRIPTS if script.parent == CONSOLE} == {"app.js"}
    assert {script.parent.name for script in SCRIPTS} - {"console"} == CONSOLE_FOLDERS.keys()


def test_lines_of_the_console_are_short():
    """Biome formats code, but breaks neither comments nor strings."""
    long = {
        f"{script.relative_to(CONSOLE)}:{number}": len(line)
        for script in SCRIPTS
        for number, line in enumerate(script.read_text().splitlines(), 1)
        if len(line) > 120
    }
    assert long == {}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_module_says_what_it_knows(file):
    assert ast.get_docstring(ast.parse(file.read_text()))


def test_the_files_that_the_page_of_internals_names_exist():
    page = (ROOT.parent / "docs" / "internals.md").read_text()
    named = set(re.findall(r"`((?:core|store|engine|api|server)/[\w/]*(?:\.py)?)`", page))
    assert "core/run/retry.py" in named
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_the_page_of_internals_names_every_room():
    page = (ROOT.parent / "docs" / "internals.md").read_text()
    rooms = {str(file.parent.relative_to(ROOT)) for file in FILES if len(file.relative_to(ROOT).parts) > 2}
    assert {room for room in rooms if f"`{room}`" not in page and f"`{room.split('/')[1]}`" not in page} == {
        "core/workflow/rules"
    }
