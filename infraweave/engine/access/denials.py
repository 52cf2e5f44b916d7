"""Denials that are yet to be written: the first of a kind in each minute one by one, then how many more.

A kind is who was denied, what, and why. Callers of whom nobody knows who they are share their kinds, so a
flood of theirs is a few rows a minute. What is gathered is bounded, theirs apart from that of others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from attrs import define, field

from infraweave.core.data.values import rfc3339
from infraweave.store.sqlite.audit_record import AuditRecord

#: Milliseconds.
MINUTE = 60_000
#: Kinds that one minute tells apart.
MOST_KINDS = 1_000


class _Kind(NamedTuple):
    tenant: str | None
    principal: str | None
    action: str
    reason: str | None


@define
class _Gathered:
    """Denials of one minute: ``each`` of a kind are listed, and ``most`` wait to be written."""

    each: int
    most: int
    listed: list[AuditRecord] = field(factory=list)
    #: How many of each kind the minute has had, and how many of them are neither listed nor told.
    seen: Counter[_Kind] = field(factory=Counter)
    more: Counter[_Kind] = field(factory=Counter)

    def add(self, record: AuditRecord) -> None:
        kind = _Kind(record.tenant, record.principal, record.action, record.reason)
        if kind not in self.seen and len(self.seen) >= MOST_KINDS:
            kind = _Kind(None, None, "any", record.reason)
        self.seen[kind] += 1
        if self.seen[kind] <= self.each and len(self.listed) < self.most:
            self.listed.append(record)
        else:
            self.more[kind] += 1

    def take(self) -> list[AuditRecord]:
        taken, self.listed = self.listed, []
        return taken

    def sums(self, minute: int) -> Iterator[AuditRecord]:
        """Yield a record for each kind of which there were more; they are told then."""
        more, self.more = self.more, Counter()
        for kind, count in more.items():
            at = minute * MINUTE
            told = f"{count:,} more in the minute from {rfc3339(at)} are not listed"
            record = AuditRecord(
                at=at, action=kind.action, resource="many", tenant=kind.tenant, principal=kind.principal
            )
            yield record.denied(kind.reason or "", told)


class Denials:
    """What was denied and is not written yet."""

    def __init__(self) -> None:
        self._minute = 0
        self._known, self._strangers = _Gathered(100, 1_000), _Gathered(10, 200)
        #: What a minute that is over has left to be told.
        self._past: list[AuditRecord] = []

    @property
    def is_counting(self) -> bool:
        """True while there are some of which only the number is kept."""
        return bool(self._known.more or self._strangers.more)

    def add(self, record: AuditRecord) -> None:
        """Take in a denial."""
        self._turn(record.at // MINUTE)
        (self._strangers if record.principal is None else self._known).add(record)

    def _turn(self, minute: int) -> None:
        if minute == self._minute:
            return
        self._past += self._sums()
        self._minute = minute
        for gathered in (self._known, self._strangers):
            gathered.seen.clear()

    def _sums(self) -> list[AuditRecord]:
        return [*self._known.sums(self._minute), *self._strangers.sums(self._minute)]

    def take(self, now: int, *, whole: bool) -> list[AuditRecord]:
        """Return what is to be written; ``whole``: with the numbers of the minute that is not over, too."""
        self._turn(now // MINUTE)
        past, self._past = self._past, []
        return [*past, *self._known.take(), *self._strangers.take(), *(self._sums() if whole else ())]
