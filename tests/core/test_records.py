"""Records are frozen for the type checker, plain at run time, and nobody assigns to their fields."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from attrs import field

from infraweave.core.records import define, frozen

ROOT = Path(__file__).parents[2]


@frozen(kw_only=True)
class Base:
    name: str
    notes: dict[str, int] = field(factory=dict, eq=False)


@frozen(kw_only=True)
class Item(Base):
    price: int = 0
    secret: str = field(default="s", repr=False)


@frozen
class Nothing:
    pass


@frozen(eq=False)
class Handle:
    name: str


@define
class Counter:
    count: int = 0


def test_records_are_equal_by_their_class_and_fields():
    assert Item(name="a", price=1) == Item(name="a", price=1, notes={"x": 1})
    assert Item(name="a", price=1) != Item(name="a", price=2)
    assert Item(name="a") != Base(name="a")
    assert Base(name="a") == Base(name="a") != "a"
    assert Nothing() == Nothing() != Item(name="a")
    assert Counter(1) == Counter(1) != Counter(2)


def test_records_are_found_in_sets():
    assert (
        len({Item(name="a"), Item(name="a", notes={"x": 1}), Item(name="b"), Base(name="a"), Nothing()}) == 4
    )
    with pytest.raises(TypeError, match="unhashable"):
        hash(Counter())


def test_a_record_without_comparison_is_equal_to_itself_alone():
    handle = Handle("a")
    assert handle == handle != Handle("a")
    assert len({handle, Handle("a")}) == 2


def test_a_record_prints_its_fields_as_attrs_prints_them():
    assert repr(Item(name="a", price=2)) == "Item(name='a', notes={}, price=2)"
    assert repr(Nothing()) == "Nothing()"


def test_a_record_may_print_itself():
    @frozen
    class Hidden:
        value: str

        def __repr__(self) -> str:
            return "Hidden"

    assert repr(Hidden("x")) == "Hidden"


def test_a_record_has_slots():
    with pytest.raises(AttributeError):
        Handle("a").other = 1


def test_the_type_checker_refuses_to_assign_to_a_field_of_a_record(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "assigns.py").write_text(
        "from infraweave.core.run.address import Address\n"
        "from infraweave.core.run.events import Completed\n"
        "from infraweave.core.run.entries import Entry\n"
        "event = Completed(seq=1, at=2, result=None)\n"
        "event.seq = 2\n"
        "entry = Entry(Address('a'), 'running', 1)\n"
        "entry.attempt = 2\n"
    )
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--cache-dir", str(ROOT / ".mypy_cache")]
    found = subprocess.run(
        [*command, str(tmp_path / "assigns.py")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "assigns.py:5" in found.stdout
    assert "read-only" in found.stdout
    assert "assigns.py:7" not in found.stdout


def test_nobody_assigns_to_a_field_of_a_record_at_run_time():
    """Lives worlds of the server, and of the core, with records that refuse."""
    code = (
        "import tests.frozen_records\n"
        "from tests.simulate.lives import live_core, live_server, portion\n"
        "from infraweave.core.run.events import Completed\n"
        "try:\n    Completed(seq=1, at=1).seq = 2\n"
        "except AttributeError:\n    pass\n"
        "else:\n    raise SystemExit('the records are not frozen')\n"
        "faults = portion(live_server, 10_000, 1)[1] | portion(live_core, 10_000, 5)[1]\n"
        "raise SystemExit(str(faults) if faults else 0)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
