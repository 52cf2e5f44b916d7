"""Pages of a run's history: events tell which attempts stand on one, and then what these gave is read.

The events themselves are small. What lies beside them may be megabytes, so it is read for the attempts of the
page alone, and the page ends where it has enough of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from infraweave.core.data.json_codec import loads
from infraweave.core.run.event_codec import decode_event
from infraweave.core.run.history import HistoryBuilder, Row, RowFilter
from infraweave.store.follow import TERMINAL_TYPES
from infraweave.store.journal import PAGE_BYTES, Journal

#: Events folded into the history between two looks at whether the page is full.
_EVENTS = 500
#: Attempts whose payloads are read at a time: at first, and at most.
_FIRST, _MOST = 4, 64


@frozen
class HistoryPage:
    """Some attempts of a run, in order; ``more``: there are others behind the last.

    ``gone``: the log had neither enough of them nor an end.
    """

    rows: Sequence[Row]
    more: bool
    gone: bool


async def history_page(
    journal: Journal,
    run_key: int,
    run_id: str,
    kinds: Mapping[str, str],
    wanted: RowFilter,
    limit: int,
    after: int,
) -> HistoryPage:
    """Return the attempts that begin after a seq: up to ``limit``, and no more than 4 MB of them, but one."""
    # A filter by state applies when a row is complete, so all rows are built for it.
    builder = HistoryBuilder(run_id, kinds, wanted, limit + 1 if wanted.state is None else None)
    gone = not await _fold(journal, run_key, builder, limit, after)
    found = builder.matching()
    rows = await _filled(journal, run_key, found[:limit])
    return HistoryPage(rows, len(found) > len(rows), gone)


async def _fold(journal: Journal, run_key: int, builder: HistoryBuilder, limit: int, after: int) -> bool:
    """Fold events until the page cannot change any more; tell whether it cannot, or the run has ended."""
    while page := await journal.read(run_key, after, _EVENTS, payloads=False):
        for stored in (stored for stored in page if builder.needs(stored.type)):
            builder.add(decode_event(stored.type, stored.data))
        after = page[-1].seq
        if page[-1].type in TERMINAL_TYPES or (builder.is_settled(limit) and len(builder.rows) > limit):
            return True
    return False


async def _filled(journal: Journal, run_key: int, rows: Sequence[Row]) -> Sequence[Row]:
    """Return the first of some rows with what they were given and gave: what 4 MB hold, and one at least."""
    done, size, count = 0, 0, _FIRST
    while done < len(rows):
        some = rows[done : done + count]
        payloads = await journal.payloads(
            run_key, {seq for row in some for seq in (row.first_seq, row.last_seq)}
        )
        for row in some:
            opening = payloads.get(row.first_seq, b"{}")
            closing = payloads.get(row.last_seq, b"{}") if row.last_seq != row.first_seq else b"{}"
            size += len(opening) + len(closing)
            if done and size > PAGE_BYTES:
                return rows[:done]
            row.fill(loads(opening), loads(closing))
            done += 1
        count = max(1, min(_MOST, (PAGE_BYTES - size) * done // max(1, size)))
    return rows
