"""What one append changes, table by table: plain rows, made by the projection and written by the writer.

The order of the fields is the order of writing. Many appends of one moment are merged by joining the lists,
so within one table the order of submission is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, TypeAlias

from attrs import fields

from infraweave.core.records import define

Row: TypeAlias = tuple[Any, ...]


@define(eq=False)
class RowChanges:
    """Row changes; each field names the statement that takes its columns.

    Not frozen: one is made for each append, and freezing doubles its cost.
    """

    #: insert_run
    runs: Sequence[Row] = ()
    #: insert_tag
    tags: Sequence[Row] = ()
    #: insert_event
    events: Sequence[Row] = ()
    #: insert_input_requests: run key, request id, and the seq of the event that asks
    input_requests: Sequence[tuple[int, str, int]] = ()
    #: delete_input_requests: run key and request id
    resolved_requests: Sequence[tuple[int, str]] = ()
    #: update_runs
    run_updates: Sequence[Row] = ()
    #: upsert_agenda
    due_times: Sequence[tuple[int, int | None]] = ()
    #: delete_agenda: run keys
    ended: Sequence[int] = ()
    #: insert_audit
    audit: Sequence[Row] = ()

    @property
    def run_keys(self) -> set[int]:
        """The runs that these changes concern."""
        return {row[0] for row in chain(self.events, self.due_times)} | set(self.ended)


_TABLES = tuple(attrgetter(table.name) for table in fields(RowChanges))


def merge(parts: Sequence[RowChanges]) -> RowChanges:
    """Return the changes of all ``parts`` together."""
    if len(parts) == 1:
        return parts[0]
    return RowChanges(*(list(chain.from_iterable(map(table, parts))) for table in _TABLES))


def rounds(changes: Sequence[Row]) -> Iterator[list[Row]]:
    """Yield the changes in order, in rounds in which no run (the first column) stands twice."""
    while changes:
        first = {change[0]: change for change in reversed(changes)}
        yield list(first.values())
        changes = [change for change in changes if first[change[0]] is not change]
