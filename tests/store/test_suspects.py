"""Who was being taken up when the process died, told by a file to the next one."""

from __future__ import annotations

from infraweave.store.suspects import MOST_DEATHS, Suspects


def dead(path, *runs: str) -> Suspects:
    """What a process knew that died while it took up these."""
    suspects = Suspects(path)
    for run_id in runs:
        suspects.begin(run_id)
    return suspects


def test_what_was_being_taken_up_is_known_to_the_next_process(tmp_path):
    db = tmp_path / "runs.db"
    first = dead(db, "run_a", "run_b", "run_c")
    first.survived("run_b")
    second = Suspects(db)
    assert second.apart == {"run_a", "run_c"}
    assert (second.deaths("run_a"), second.deaths("run_b"), second.aside) == (1, 0, frozenset())


def test_after_three_deaths_in_a_row_a_run_is_set_aside(tmp_path):
    db = tmp_path / "runs.db"
    for _ in range(MOST_DEATHS):
        suspects = dead(db, "run_a", "run_b")
        suspects.survived("run_b")
    last = Suspects(db)
    assert (last.aside, last.deaths("run_a")) == ({"run_a"}, 3)
    last.close()
    again = Suspects(db)
    assert again.is_aside("run_a")
    again.lift("run_a")
    again.begin("run_a")
    assert Suspects(db).deaths("run_a") == 4


def test_who_survives_once_begins_anew(tmp_path):
    db = tmp_path / "runs.db"
    dead(db, "run_a")
    dead(db, "run_a").survived("run_a")
    dead(db, "run_a")
    assert Suspects(db).deaths("run_a") == 1


def test_who_waits_in_line_is_not_suspected(tmp_path):
    db = tmp_path / "runs.db"
    dead(db, "run_a").pause("run_a")
    assert Suspects(db).apart == frozenset()


def test_a_clean_end_leaves_no_file(tmp_path):
    db = tmp_path / "runs.db"
    dead(db, "run_a").close()
    assert list(tmp_path.iterdir()) == []


def test_a_torn_record_is_nobody(tmp_path):
    db = tmp_path / "runs.db"
    dead(db, "run_a", "run_b")
    path = tmp_path / "runs.db.taking-up"
    path.write_bytes(path.read_bytes()[:-20] + b"\0" * 20)
    assert Suspects(db).apart == {"run_a"}


def test_a_file_that_cannot_be_written_stops_nothing_and_is_told_once(tmp_path, capfd):
    suspects = Suspects(tmp_path / "gone" / "runs.db")
    suspects.begin("run_a")
    suspects.begin("run_b")
    suspects.survived("run_a")
    suspects.close()
    assert suspects.apart == frozenset()
