"""A file tells the next process which runs were being loaded when a process died."""

from __future__ import annotations

from infraweave.store.load_quarantine import MAX_CRASHES, LoadQuarantine


def dead(path, *runs: str) -> LoadQuarantine:
    """What a process knew that died while it took up these."""
    quarantine = LoadQuarantine(path)
    for run_id in runs:
        quarantine.begin_load(run_id)
    return quarantine


def test_what_was_being_taken_up_is_known_to_the_next_process(tmp_path):
    db = tmp_path / "runs.db"
    first = dead(db, "run_a", "run_b", "run_c")
    first.end_load("run_b")
    second = LoadQuarantine(db)
    assert second.suspected == {"run_a", "run_c"}
    assert (second.crashes("run_a"), second.crashes("run_b"), second.quarantined) == (1, 0, frozenset())


def test_after_three_deaths_in_a_row_a_run_is_set_aside(tmp_path):
    db = tmp_path / "runs.db"
    for _ in range(MAX_CRASHES):
        quarantine = dead(db, "run_a", "run_b")
        quarantine.end_load("run_b")
    last = LoadQuarantine(db)
    assert (last.quarantined, last.crashes("run_a")) == ({"run_a"}, 3)
    last.close()
    again = LoadQuarantine(db)
    assert again.is_quarantined("run_a")
    again.release("run_a")
    again.begin_load("run_a")
    assert LoadQuarantine(db).crashes("run_a") == 4


def test_who_survives_once_begins_anew(tmp_path):
    db = tmp_path / "runs.db"
    dead(db, "run_a")
    dead(db, "run_a").end_load("run_a")
    dead(db, "run_a")
    assert LoadQuarantine(db).crashes("run_a") == 1


def test_who_waits_in_line_is_not_suspected(tmp_path):
    db = tmp_path / "runs.db"
    dead(db, "run_a").pause_load("run_a")
    assert LoadQuarantine(db).suspected == frozenset()


def test_a_clean_end_leaves_no_file(tmp_path):
    db = tmp_path / "runs.db"
    dead(db, "run_a").close()
    assert list(tmp_path.iterdir()) == []


def test_a_torn_record_is_nobody(tmp_path):
    db = tmp_path / "runs.db"
    dead(db, "run_a", "run_b")
    path = tmp_path / "runs.db.taking-up"
    path.write_bytes(path.read_bytes()[:-20] + b"\0" * 20)
    assert LoadQuarantine(db).suspected == {"run_a"}


def test_a_file_that_cannot_be_written_stops_nothing_and_is_told_once(tmp_path, capfd):
    quarantine = LoadQuarantine(tmp_path / "gone" / "runs.db")
    quarantine.begin_load("run_a")
    quarantine.begin_load("run_b")
    quarantine.end_load("run_a")
    quarantine.close()
    assert quarantine.suspected == frozenset()
