"""Reads a page of a run's history: first events, to choose the attempts, then the payloads of those attempts.

Events are small, but payloads may be megabytes. So payloads are read for the attempts of the page alone, and
the page ends once it holds enough of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infraweave.core.data.json_codec import loads
from infraweave.core.lazy_records import frozen
from infraweave.core.run.history import HistoryBuilder, Row, RowFilter
from infraweave.store.follow import TERMINAL_TYPES, Stored
from infraweave.store.journal import PAGE_BYTES, Journal

#: Events folded before the next check whether the page is full.
_EVENTS = 500
#: Attempts whose payloads are read at a time: the first time, and at most.
_FIRST, _MOST = 4, 64


@frozen
class HistoryPage:
    """Some attempts of a run, in order; ``more``: others follow.

    ``gone``: the log ended without an end of the run, which has been removed.
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
    """Return the attempts that begin after a seq: up to ``limit``, and up to 4 MiB, but at least one."""
    # A filter by state applies when a row is complete, so all rows are built for it.
    builder = HistoryBuilder(run_id, kinds, wanted, limit + 1 if wanted.state is None else None)
    if (log := journal.short_log(run_key)) is not None:
        return _short(builder, log, limit, after)
    gone = not await _fold(journal, run_key, builder, limit, after)
    found = builder.matching()
    rows = await _filled(journal, run_key, found[:limit])
    return HistoryPage(rows, len(found) > len(rows), gone)


def _short(builder: HistoryBuilder, log: Sequence[Stored], limit: int, after: int) -> HistoryPage:
    """Return the page of a short run, whose log was read at once; its payloads always fit on a page."""
    rest = log[after:]
    for stored in rest:
        if builder.needs(stored.type):
            builder.add(stored.event(payloads=False))
    found = builder.matching()
    rows = found[:limit]
    for row in rows:
        is_closed = row.last_seq != row.first_seq
        row.fill(log[row.first_seq - 1].beside(), log[row.last_seq - 1].beside() if is_closed else {})
    is_final = builder.is_settled(limit) and len(builder.rows) > limit
    gone = not rest or (rest[-1].type not in TERMINAL_TYPES and not is_final)
    return HistoryPage(rows, len(found) > len(rows), gone)


async def _fold(journal: Journal, run_key: int, builder: HistoryBuilder, limit: int, after: int) -> bool:
    """Fold events until the page is final; return False if the log ended before that and before the run."""
    while page := await journal.read(run_key, after, _EVENTS, payloads=False):
        for stored in (stored for stored in page if builder.needs(stored.type)):
            builder.add(stored.event())
        after = page[-1].seq
        if page[-1].type in TERMINAL_TYPES or (builder.is_settled(limit) and len(builder.rows) > limit):
            return True
    return False


async def _filled(journal: Journal, run_key: int, rows: Sequence[Row]) -> Sequence[Row]:
    """Return the first of some rows with their inputs and outputs: up to 4 MiB, but at least one."""
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
