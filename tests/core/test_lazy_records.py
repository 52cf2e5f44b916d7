"""Classes that are built when they are first used behave like those that were built at once."""

from __future__ import annotations

import pickle
import pkgutil
import subprocess
import sys
import threading
from functools import cached_property
from importlib import import_module
from typing import Generic, TypeVar

import attrs
import pytest
from attrs import Factory, field

import infraweave
from infraweave.core import lazy_records
from infraweave.core.lazy_records import frozen

T = TypeVar("T")


def is_built(cls):
    return type(vars(cls)["__attrs_attrs__"]) is not lazy_records._Unbuilt


def declare():
    @frozen(kw_only=True)
    class Base(Generic[T]):
        name: T
        notes: dict[str, int] = field(factory=dict, eq=False)

    @frozen(kw_only=True)
    class Item(Base[str]):
        price: int = field(default=0, converter=int)
        secret: str = field(default="s", repr=False)

        @cached_property
        def label(self) -> str:
            return f"{self.name} {self.price}"

    return Base, Item


@frozen
class Kept:
    name: str
    parts: tuple[str, ...] = ()
    counts: list[int] = Factory(list)


@frozen(eq=False)
class Handle:
    name: str


def test_a_class_is_built_by_its_first_object_together_with_what_it_derives_from():
    base, item = declare()
    assert not is_built(base)
    assert not is_built(item)
    assert item(name="a", price="2").price == 2
    assert is_built(base)
    assert is_built(item)
    assert "price" not in vars(item)  # as with every attrs class


def test_a_class_is_built_by_the_first_look_at_its_fields():
    base, item = declare()
    assert attrs.has(base)
    assert [part.name for part in attrs.fields(item)] == ["name", "notes", "price", "secret"]
    assert item(name="a") == item(name="a")


def test_a_class_is_built_by_the_first_object_of_one_that_derives_from_it():
    base, _ = declare()

    class Plain(base):
        pass

    assert Plain(name="a").notes == {}
    assert is_built(base)


def test_records_compare_print_and_copy_by_their_fields():
    _, item = declare()
    one = item(name="a", price=1)
    assert one == item(name="a", price=1, notes={"x": 1}) != item(name="a", price=2)
    assert len({one, item(name="a", price=1), item(name="b")}) == 2
    assert repr(one).endswith("Item(name='a', notes={}, price=1)")
    assert attrs.evolve(one, price="3").label == "a 3"
    assert Handle("a") != Handle("a")


def test_a_wrong_field_is_refused_like_by_any_class():
    _, item = declare()
    with pytest.raises(TypeError, match=r"__init__\(\) got an unexpected keyword argument 'cost'"):
        item(name="a", cost=1)
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'name'"):
        item(price=1)


def test_a_record_travels_to_a_process_that_has_not_used_its_class():
    code = (
        "import pickle, sys\n"
        "kept = pickle.load(sys.stdin.buffer)\n"
        "assert repr(kept) == \"Kept(name='a', parts=('b',), counts=[])\", kept\n"
        "assert kept == type(kept)('a', ('b',))\n"
    )
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps(Kept("a", ("b",))), check=True)


def test_threads_that_use_a_class_at_once_build_it_once():
    """Building takes the defaults out of the class, so a second time would lose them."""
    for _ in range(20):
        _, item = declare()
        barrier, made = threading.Barrier(4), []

        def make(item=item, barrier=barrier, made=made):
            barrier.wait()
            made.append((item(name="a"), attrs.fields(item)))

        threads = [threading.Thread(target=make) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({str(one) for one in made}) == 1
        assert len(made) == 4


def test_every_class_of_the_product_can_be_built():
    """A fault in a declaration would else show only once the class is used."""
    names = [name for _, name, _ in pkgutil.walk_packages(infraweave.__path__, "infraweave.")]
    modules = [import_module(name) for name in names if not name.endswith("__main__")]
    classes = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    assert sum(attrs.has(cls) for cls in classes) > 250
