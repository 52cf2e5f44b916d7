"""Verifies single runs: the events, folded, and the rows of other tables that follow from them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Literal, TypeAlias

from attrs import field

from infraweave.core.data.json_codec import loads
from infraweave.core.lazy_records import frozen
from infraweave.core.records import define
from infraweave.core.run.event_codec import TYPES, UNKNOWN, decode_event
from infraweave.core.run.events import Event
from infraweave.core.run.invariants import violation
from infraweave.core.run.state import RunState, evolve
from infraweave.core.workflow.document import Document
from infraweave.core.workflow.document_codec import document_from_json
from infraweave.store.projection import index_changes
from infraweave.store.sqlite.batch import write_rows
from infraweave.store.sqlite.statements import QUERIES

#: What a problem is about. Only a backup repairs events and the file. The index and the agenda follow from
#: the events. Documents and families need somebody who knows what happened.
About: TypeAlias = Literal["file", "events", "index", "agenda", "document", "family"]

#: Documents that are cached.
_DOCUMENTS = 64
#: Events that are indexed at a time.
_PAGE = 256


@frozen(kw_only=True)
class Problem:
    """One problem; it concerns a run if it has a run id or key."""

    about: About
    message: str
    run_id: str | None = None
    run_key: int | None = None
    #: When the run must be in memory according to its events.
    due_at: int | None = None


@define
class Counts:
    """How much was verified."""

    runs: int = 0
    events: int = 0


@define
class RunVerifier:
    """Verifies the runs of a file; ``scratch`` is a database in memory for the rows of a run."""

    file: sqlite3.Connection
    scratch: sqlite3.Connection
    counts: Counts
    _documents: dict[tuple[str, str, str], Document | str] = field(factory=dict)

    def verify_run(self, run_key: int) -> list[Problem]:
        """Return the problems of a run, at one moment."""
        self.file.execute("BEGIN")
        self.scratch.execute("BEGIN")
        try:
            if self.file.execute(QUERIES["is_being_removed"], (run_key,)).fetchone()[0]:
                return []
            self.counts.runs += 1
            return list(_Run(self, run_key).problems())
        finally:
            self.scratch.execute("ROLLBACK")
            self.file.execute("ROLLBACK")

    def document(self, tenant: str, workflow_id: str, version: str) -> Document | str:
        """Return a document, or its problem."""
        key = (tenant, workflow_id, version)
        if key not in self._documents:
            if len(self._documents) >= _DOCUMENTS:
                self._documents.clear()
            self._documents[key] = self._read_document(*key)
        return self._documents[key]

    def _read_document(self, tenant: str, workflow_id: str, version: str) -> Document | str:
        row = self.file.execute(QUERIES["document"], (tenant, workflow_id, version)).fetchone()
        if row is None:
            return f"{workflow_id} {version} of tenant {tenant} is missing"
        try:
            return document_from_json(loads(row[0]))
        except Exception as error:  # noqa: BLE001 - whatever a damaged text makes the converter raise
            return f"{workflow_id} {version} of tenant {tenant} cannot be read: {error}"


@define
class _Run:
    """One run: its events, folded, and its rows in other tables."""

    verifier: RunVerifier
    run_key: int
    state: RunState = field(init=False)
    #: Events that are not yet indexed in memory.
    _pending: list[Event] = field(factory=list)

    @property
    def _id(self) -> str | None:
        return self.state.run_id or None

    def problems(self) -> Iterator[Problem]:
        """Yield the problems of the run."""
        row = self._row(self.verifier.file)
        self.state = RunState("" if row is None else row["run_id"])
        fault = self._fold()
        if fault is not None:
            yield self._problem("events", fault)
            return
        if row is None and not self.state.seq:
            yield self._problem("index", "the index or the agenda names a run that has no events")
            return
        yield from self._index_problems(row)
        yield from self._request_problems()
        yield from self._agenda_problems()
        yield from self._document_problems()
        yield from self._family_problems()

    def _problem(self, about: About, message: str, due_at: int | None = None) -> Problem:
        return Problem(about=about, message=message, run_id=self._id, run_key=self.run_key, due_at=due_at)

    def _fold(self) -> str | None:
        """Fold the events into the state and the scratch tables; return the fault of the first faulty one."""
        for seq, code, at, data, payload in self.verifier.file.execute(
            QUERIES["raw_events"], (self.run_key,)
        ):
            self.verifier.counts.events += 1
            kind = TYPES.get(code, TYPES[UNKNOWN])
            try:
                fault = self._add(decode_event(kind, seq, at, data, payload), loads(data).get("run_id"))
            except Exception as error:  # noqa: BLE001 - whatever a damaged text makes the converter raise
                fault = f"it cannot be read: {type(error).__name__}: {error}"
            if fault is not None:
                return f"event {seq} ({kind}): {fault}"
        self._index()
        if self._id is not None and not self.state.seq:
            return "the index names a run that has no events"
        return None

    def _add(self, event: Event, run_id: str | None) -> str | None:
        """Add an event; ``run_id`` is the run that its data names, as the first event does."""
        if self._id is None and run_id is not None:
            self.state.run_id = run_id
        if run_id not in (self._id, None) or (event.seq == 1 and run_id is None):
            return f"it belongs to {run_id}"
        fault = violation(self.state, event)
        if fault is None:
            evolve(self.state, event)
            self._pending.append(event)
            if len(self._pending) >= _PAGE:
                self._index()
        return fault

    def _index(self) -> None:
        """Index the pending events in memory."""
        write_rows(self.verifier.scratch, index_changes(self.run_key, self.state.run_id, self._pending))
        self._pending.clear()

    def _index_problems(self, row: sqlite3.Row | None) -> Iterator[Problem]:
        expected = self._row(self.verifier.scratch)
        if row is None:
            yield self._problem("index", "the run is missing from the index")
        elif expected is not None:
            wrong = [name for name in expected.keys() if row[name] != expected[name]]  # noqa: SIM118 - a Row
            said = [f"{name} is {row[name]!r:.80} and should be {expected[name]!r:.80}" for name in wrong]
            if said:
                yield self._problem("index", "; ".join(said))
        tags, due = self._tags(self.verifier.file), self._tags(self.verifier.scratch)
        if tags != due:
            yield self._problem("index", f"its tags in the index are {tags} and should be {due}")

    def _row(self, connection: sqlite3.Connection) -> sqlite3.Row | None:
        row: sqlite3.Row | None = connection.execute(QUERIES["run_by_key"], (self.run_key,)).fetchone()
        return row

    def _tags(self, connection: sqlite3.Connection) -> dict[str, str]:
        return dict(map(tuple, connection.execute(QUERIES["tags_of_run"], (self.run_key,))))

    def _request_problems(self) -> Iterator[Problem]:
        """Yield the problems of the list of input requests."""
        origin = self.state.origin
        whose = (None, None) if origin is None else (origin.tenant, origin.workflow_id)
        asked = [entry.request for entry in self.state.entries.values() if entry.request is not None]
        open_ = {request.request_id: (request.seq, *whose) for request in asked}
        rows = self.verifier.file.execute(QUERIES["input_requests_of_run"], {"run_key": self.run_key})
        found = {request_id: (seq, *of) for request_id, seq, *of in rows}
        for request_id in sorted(open_.keys() | found.keys()):
            there, due = found.get(request_id), open_.get(request_id)
            if due is None:
                yield self._problem("index", f"input request {request_id} is listed and not open")
            elif there is None:
                yield self._problem("index", f"input request {request_id} is open and not listed")
            elif there != due:
                said = f"is listed as {there!r:.120} and should be as {due!r:.120}"
                yield self._problem("index", f"input request {request_id} {said}")

    def _agenda_problems(self) -> Iterator[Problem]:
        """Yield what would load the run too late; too early does no harm."""
        found = self.verifier.file.execute(QUERIES["agenda_of_run"], (self.run_key,)).fetchone()
        due_at = self.state.due_at()
        if self.state.end is not None:
            if found is not None:
                yield self._problem("agenda", "the run has ended and is on the agenda")
        elif found is None:
            yield self._problem("agenda", "the run is open and not on the agenda", due_at)
        elif due_at is not None and self.state.state != "queued" and (found[0] is None or found[0] > due_at):
            yield self._problem("agenda", f"it is due at {due_at}, and the agenda says {found[0]}", due_at)

    def _document_problems(self) -> Iterator[Problem]:
        origin = self.state.origin
        if origin is None:
            return
        document = self.verifier.document(origin.tenant, origin.workflow_id, origin.workflow_version)
        if isinstance(document, str):
            yield self._problem("document", f"its document {document}")
            return
        names = {node.name for node in document.nodes}
        strange = sorted({*self.state.nodes, *self.state.settled} - names)
        if strange:
            nodes = ", ".join(strange)
            yield self._problem("document", f"its events name nodes that its document lacks: {nodes}")

    def _family_problems(self) -> Iterator[Problem]:
        parent = None if self.state.origin is None else self.state.origin.parent_run_id
        if parent is not None:
            row = self.verifier.file.execute(QUERIES["end_of_run"], (parent,)).fetchone()
            if row is None:
                yield self._problem("family", f"its parent {parent} is missing")
            elif row[0] is not None and self.state.end is None:
                yield self._problem("family", f"it is open, and its parent {parent} has ended")
        for entry in self.state.entries.values():
            child = entry.child_run_id
            if child and self.verifier.file.execute(QUERIES["end_of_run"], (child,)).fetchone() is None:
                yield self._problem("family", f"{entry.address} waits for {child}, which is missing")
