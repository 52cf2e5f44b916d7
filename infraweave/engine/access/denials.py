"""Denials that are not written yet: in each minute the first of a kind one by one, then the number of others.

A kind is the principal, the action and the reason. All unknown callers share their kinds, so a flood of their
requests becomes a few rows a minute. The buffer is bounded, separately for known and unknown callers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from attrs import field

from infraweave.core.data.values import rfc3339
from infraweave.core.records import define
from infraweave.store.sqlite.audit_record import AuditRecord

#: Milliseconds.
MINUTE = 60_000
#: Kinds that are distinguished within a minute.
MAX_KINDS = 1_000


class _Kind(NamedTuple):
    tenant: str | None
    principal: str | None
    action: str
    reason: str | None


@define
class _MinuteOfDenials:
    """The denials of one minute: at most ``each`` of a kind are listed, and at most ``most`` in all."""

    each: int
    most: int
    listed: list[AuditRecord] = field(factory=list)
    #: How many of each kind the minute has had, and how many of them are not listed.
    seen: Counter[_Kind] = field(factory=Counter)
    more: Counter[_Kind] = field(factory=Counter)

    def add(self, record: AuditRecord) -> None:
        kind = _Kind(record.tenant, record.principal, record.action, record.reason)
        if kind not in self.seen and len(self.seen) >= MAX_KINDS:
            kind = _Kind(None, None, "any", record.reason)
        self.seen[kind] += 1
        if self.seen[kind] <= self.each and len(self.listed) < self.most:
            self.listed.append(record)
        else:
            self.more[kind] += 1

    def drain(self) -> list[AuditRecord]:
        taken, self.listed = self.listed, []
        return taken

    def summaries(self, minute: int) -> Iterator[AuditRecord]:
        """Yield a record with the number of unlisted denials of each kind, and reset the numbers."""
        more, self.more = self.more, Counter()
        for kind, count in more.items():
            at = minute * MINUTE
            text = f"{count:,} more in the minute from {rfc3339(at)} are not listed"
            record = AuditRecord(
                at=at, action=kind.action, resource="many", tenant=kind.tenant, principal=kind.principal
            )
            yield record.denied(kind.reason or "", text)


class Denials:
    """The denials that are not written yet."""

    def __init__(self) -> None:
        self._minute = 0
        self._known, self._strangers = _MinuteOfDenials(100, 1_000), _MinuteOfDenials(10, 200)
        #: Summaries of past minutes.
        self._past: list[AuditRecord] = []

    @property
    def is_counting(self) -> bool:
        """True while there are unlisted denials."""
        return bool(self._known.more or self._strangers.more)

    def add(self, record: AuditRecord) -> None:
        """Add a denial."""
        self._start_minute(record.at // MINUTE)
        (self._strangers if record.principal is None else self._known).add(record)

    def _start_minute(self, minute: int) -> None:
        if minute == self._minute:
            return
        self._past += self._summaries()
        self._minute = minute
        for denials in (self._known, self._strangers):
            denials.seen.clear()

    def _summaries(self) -> list[AuditRecord]:
        return [*self._known.summaries(self._minute), *self._strangers.summaries(self._minute)]

    def drain(self, now: int, *, whole: bool) -> list[AuditRecord]:
        """Remove and return the records to write; ``whole``: with the summaries of the current minute."""
        self._start_minute(now // MINUTE)
        past, self._past = self._past, []
        return [*past, *self._known.drain(), *self._strangers.drain(), *(self._summaries() if whole else ())]
