"""Records whose class is built when it is first used; otherwise like those of ``records``.

A start declares hundreds of classes, most of them for requests and answers, and uses a few dozen. To build
one takes attrs a third of a millisecond. Until then the class is as it was written; making an object of it,
or asking attrs for its fields, builds it in place. That is possible only without slots: objects that are kept
by the thousand are made of ``records``.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from infraweave.core.records import equal, hash_of, text

if TYPE_CHECKING:
    from attrs import frozen as frozen  # noqa: PLC0414 - exported

C = TypeVar("C", bound=type)

#: One class is built at a time, after the classes that it derives from.
_building = RLock()


class _Unbuilt:
    """Stands where attrs keeps the fields of a class, and builds the class when somebody looks there."""

    def __init__(self, cls: type, *, kw_only: bool) -> None:
        self._cls, self._kw_only = cls, kw_only

    def __get__(self, _: object, __: type) -> Any:
        self.build()
        return vars(self._cls)["__attrs_attrs__"]

    def build(self) -> None:
        """Build the class, unless that has been done."""
        import attrs

        with _building:
            if vars(self._cls)["__attrs_attrs__"] is self:
                attrs.define(
                    self._cls,
                    init=True,
                    kw_only=self._kw_only,
                    slots=False,
                    repr=False,
                    eq=False,
                    match_args=False,
                    on_setattr=attrs.setters.NO_OP,
                )


def _lazy(cls: C, *, kw_only: bool, eq: bool) -> C:
    own, unbuilt = set(vars(cls)), _Unbuilt(cls, kw_only=kw_only)

    def first_init(self: Any, *args: Any, **fields: Any) -> None:
        unbuilt.build()
        cls.__init__(self, *args, **fields)  # type: ignore[misc]  # by now it is the one that attrs made

    methods: dict[str, Any] = {"__init__": first_init, "__attrs_attrs__": unbuilt, "__repr__": text}
    if eq:
        methods |= {"__eq__": equal, "__hash__": hash_of}
    for name in methods.keys() - own:
        setattr(cls, name, methods[name])
    return cls


if not TYPE_CHECKING:

    def frozen(cls: C | None = None, *, kw_only: bool = False, eq: bool = True) -> C | Callable[[C], C]:
        """Make a class a record that is built when it is first used. ``eq=False``: compared by identity."""
        if cls is None:
            return lambda cls: frozen(cls, kw_only=kw_only, eq=eq)
        return _lazy(cls, kw_only=kw_only, eq=eq)
