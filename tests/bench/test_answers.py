"""The recorder of answers finds no difference where there is none, and shows one where there is."""

from __future__ import annotations

from tests.bench.answers import ROOT, differences, record, record_tight
from tests.bench.recorded.names import renamed

RUN, OTHER = "run_01M873A30EPTRQPF1536SYNHNC", "run_01M873A30EPTRQPF1536SYNHND"


def test_one_tree_gives_the_same_answers_twice():
    first, second = (record(ROOT, [record_tight]) for _ in range(2))
    assert differences(first, second) == []
    statuses = {answer.split("\n")[1].split(" ")[1] for answer in first}
    assert {"200", "201", "400", "401", "413", "429"} <= statuses


def test_what_varies_is_named_by_its_order():
    at = "2026-12-01T00:00:00.000Z"
    given = [
        f'{{"run_id":"{RUN}","at":"{at}","latency_ms":17}}',
        f'["{OTHER}","{RUN}","2099-01-01T00:00:00Z"]',
    ]
    first, second = renamed(given, {})
    assert first == '{"run_id":"run#1",\n    "at":"TIME",\n    "latency_ms":N}'
    assert second == '["run#2",\n    "run#1",\n    "2099-01-01T00:00:00Z"]'


def test_a_difference_is_shown_with_its_request():
    old, new = "> GET /a\nHTTP/1.1 200", "> GET /a\nHTTP/1.1 204"
    assert differences([old, old], [old, new])[0] == "> GET /a"
    assert {"-HTTP/1.1 200", "+HTTP/1.1 204"} <= set(differences([old, old], [old, new]))
    assert differences([old], [old, old]) == ["1 answers, and 2 answers"]
