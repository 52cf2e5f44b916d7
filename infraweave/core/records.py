"""Records: classes that the type checker holds to be frozen, and that cost little at run time.

``attrs.frozen`` sets each field through ``object.__setattr__`` and compiles five methods for every class: a
record takes four times as long to make, and so does its class, of which a start builds hundreds. Here attrs
makes only ``__init__`` and the slots. Comparison, hash and text are shared by all records; they are for tests
and people, not for hot code. What the type checker cannot see, ``tests/frozen_records.py`` finds.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from attrs import define, frozen

__all__ = ["define", "frozen"]

C = TypeVar("C", bound=type)


def text(self: Any) -> str:
    """Return a record as attrs would print it."""
    names = (field.name for field in self.__attrs_attrs__ if field.repr)
    return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


def _compared(self: Any) -> Any:
    """Return the values that make a record equal to another. The names are looked up once a class."""
    cls = type(self)
    if "__compared__" not in cls.__dict__:
        names = [field.name for field in cls.__attrs_attrs__ if field.eq]
        cls.__compared__ = staticmethod(attrgetter(*names) if names else type)
    return cls.__compared__(self)


def equal(self: Any, other: object) -> Any:
    """Compare two records of one class by their fields."""
    return _compared(self) == _compared(other) if other.__class__ is self.__class__ else NotImplemented


def hash_of(self: Any) -> int:
    """Return the hash of a record."""
    return hash((type(self), _compared(self)))


def _record(cls: C, *, kw_only: bool, eq: bool, is_hashable: bool) -> C:
    import attrs  # `infraweave --help` declares a record, and need not load attrs for it

    own = set(vars(cls))
    # ``on_setattr``: a converter is for ``__init__``; nothing sets a field of a record later.
    made: Any = attrs.define(
        cls, kw_only=kw_only, repr=False, eq=False, match_args=False, on_setattr=attrs.setters.NO_OP
    )
    if "__repr__" not in own:
        made.__repr__ = text
    if eq and "__eq__" not in own:
        made.__eq__, made.__hash__ = equal, hash_of if is_hashable else None
    return made  # type: ignore[no-any-return]


if not TYPE_CHECKING:

    def frozen(cls: C | None = None, *, kw_only: bool = False, eq: bool = True) -> C | Callable[[C], C]:
        """Make a class a record: slots, compared and hashed by its fields. ``eq=False``: by its identity."""
        if cls is None:
            return lambda cls: frozen(cls, kw_only=kw_only, eq=eq)
        return _record(cls, kw_only=kw_only, eq=eq, is_hashable=True)

    def define(cls: C | None = None, *, kw_only: bool = False, eq: bool = True) -> C | Callable[[C], C]:
        """Make a class with slots whose fields change; no dict can find it, unless ``eq=False``."""
        if cls is None:
            return lambda cls: define(cls, kw_only=kw_only, eq=eq)
        return _record(cls, kw_only=kw_only, eq=eq, is_hashable=False)
