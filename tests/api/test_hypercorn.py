"""The internals of Hypercorn and h11 that ``infraweave/server`` overrides or uses.

They belong to no public interface. So pyproject.toml has an upper bound on both versions, and these tests
fail when a name is gone or has other parameters. Before a bound is raised, read what has changed around them.
"""

from __future__ import annotations

import ast
import inspect
import tomllib
from pathlib import Path

import h11
import hypercorn
import pytest
from h11._receivebuffer import ReceiveBuffer
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.protocol.h11 import H11Protocol
from packaging.requirements import Requirement

from infraweave.api.app import create_app

ROOT = Path(__file__).parent.parent.parent
#: The parameters of each method, without ``self``.
METHODS = {
    (H11Protocol, "__init__"): [
        *("app", "config", "context", "task_group", "connection_state"),
        *("ssl", "client", "server", "send"),
    ],
    (H11Protocol, "handle"): ["event"],
    (H11Protocol, "stream_send"): ["event"],
    (H11Protocol, "_check_protocol"): ["event"],
    (H11Protocol, "_maybe_recycle"): [],
    (H11Protocol, "_send_error_response"): ["status_code"],
    (H11Protocol, "_send_h11_event"): ["event"],
    (TCPServer, "__init__"): ["app", "loop", "config", "context", "state", "reader", "writer"],
    (TCPServer, "run"): [],
    (TCPServer, "protocol_send"): ["event"],
    (TCPServer, "_close"): [],
    (TCPServer, "_idle_timeout"): [],
    (TCPServer, "_initiate_server_close"): [],
    (TCPServer, "_read_data"): [],
    (h11.Connection, "next_event"): [],
    (ReceiveBuffer, "maybe_extract_at_most"): ["count"],
}
#: The attributes of an instance.
ATTRIBUTES = {
    H11Protocol: {"client", "config", "connection", "context"},
    TCPServer: {"app", "config", "context", "idle_task", "loop", "reader", "state", "writer"},
    h11.Connection: {"_receive_buffer", "their_state", "trailing_data"},
}
#: Attributes that ``TCPServer.run``, which is overridden, sets for the other methods.
SET_BY_RUN = {"_task_group", "protocol"}
#: Our class → theirs.
OURS = {"_Protocol": H11Protocol, "_Connection": TCPServer, "RequestParser": h11.Connection}


def classes():
    for name in ("http1.py", "request_parser.py"):
        tree = ast.parse((ROOT / "infraweave" / "server" / name).read_text())
        yield from (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name in OURS)


def methods(tree):
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def accessed(tree):
    """Return the names behind ``self.`` and ``super().``, and which of them are assigned."""
    used, assigned = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            assigned.add(node.target.id)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "super()"):
            (assigned if isinstance(node.ctx, ast.Store) else used).add(node.attr)
    return used, assigned


def instance(cls):
    if cls is h11.Connection:
        return h11.Connection(h11.SERVER)
    values = {"config": Config(), "context": WorkerContext(None)}
    return cls(**{name: values.get(name) for name in METHODS[cls, "__init__"]})


@pytest.mark.parametrize(("cls", "name"), METHODS, ids=lambda value: getattr(value, "__name__", value))
def test_a_method_that_we_override_or_call_is_there_with_its_parameters(cls, name):
    parameters = list(inspect.signature(getattr(cls, name)).parameters)
    assert parameters == ["self", *METHODS[cls, name]]


@pytest.mark.parametrize("cls", ATTRIBUTES)
async def test_an_attribute_that_we_use_is_there(cls):
    made = instance(cls)
    assert {name for name in ATTRIBUTES[cls] if not hasattr(made, name)} == set()


def test_run_sets_what_the_other_methods_use():
    source = inspect.getsource(TCPServer.run)
    assert {name for name in SET_BY_RUN if f"self.{name} = " not in source} == set()


def test_the_lists_are_complete():
    seen = set()
    for tree in classes():
        theirs = OURS[tree.name]
        seen.add(tree.name)
        listed = {name for cls, name in METHODS if cls is theirs} | ATTRIBUTES[theirs]
        used, assigned = accessed(tree)
        overridden = {name for name in methods(tree) if hasattr(theirs, name)}
        inherited = used - assigned - (methods(tree) - overridden)
        assert (inherited | overridden) - listed - SET_BY_RUN - {"__init__"} == set(), tree.name
    assert seen == set(OURS)


@pytest.mark.parametrize("module", [hypercorn, h11], ids=lambda module: module.__name__)
def test_their_versions_have_an_upper_bound(module):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {each.name: each for each in map(Requirement, project["dependencies"])}[module.__name__]
    assert "<" in {each.operator for each in wanted.specifier}


async def test_the_rules_of_the_app_build_no_urls(api):
    """Werkzeug compiles two functions a rule for that, by the method that the app's rules override."""
    app = create_app(api.server.engine)
    rules = list(app.url_map.iter_rules())
    assert len(rules) > 50
    for rule in rules:
        with pytest.raises(NotImplementedError):
            rule.build(dict.fromkeys(rule.arguments, "a"))
