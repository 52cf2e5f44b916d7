"""What is kept for its price is bounded by what it weighs."""

import pytest

from infraweave.core.data import expressions, json_schema
from infraweave.core.data.bounded_cache import BoundedCache


def test_the_oldest_go_where_all_weigh_too_much_and_a_use_makes_a_value_the_latest():
    kept: BoundedCache[str, int] = BoundedCache(10)
    for place, name in enumerate("abc"):
        kept.keep(name, place, 3)
    assert kept.get("a") == 0
    kept.keep("d", 3, 3)
    assert (list(kept), kept.weight, kept.get("b")) == ([2, 0, 3], 9, None)


def test_a_value_that_grew_is_weighed_anew_and_the_latest_stays_however_heavy_it_is():
    kept: BoundedCache[str, int] = BoundedCache(10)
    kept.keep("a", 1, 3)
    kept.keep("b", 2, 3)
    kept.keep("b", 2, 100)
    assert (list(kept), kept.weight) == ([2], 100)
    assert kept.take("b") == 2
    assert kept.take("b") is None
    assert (len(kept), kept.weight) == (0, 0)
    kept.keep("a", 1, 3)
    kept.clear()
    assert (len(kept), kept.weight) == (0, 0)


@pytest.fixture
def fresh(monkeypatch):
    """Caches of their own, with little room: ``fresh(module, name, most)``."""

    def made(module, name: str, most: int) -> BoundedCache:
        kept: BoundedCache = BoundedCache(most)
        monkeypatch.setattr(module, name, kept)
        return kept

    return made


def test_large_schemas_leave_few_validators(fresh):
    kept = fresh(json_schema, "_validators", 100_000)
    small = {"type": "object", "properties": {"a": {"type": "string"}}}
    for number in range(20):
        large = {"type": "object", "properties": {f"{number}_{n}": {} for n in range(2_000)}}
        assert json_schema.validator(small).faults({"a": 1})
        assert json_schema.validator(large) is json_schema.validator(dict(large))
    assert json_schema.validator(small) in list(kept)
    assert 2 <= len(kept) <= 6
    assert kept.weight <= 100_000


def test_expressions_over_many_names_leave_few_programs(fresh):
    kept = fresh(expressions, "_programs", 2 << 20)
    names = {f"{'n' * 50}{n}": n for n in range(300)}
    for number in range(20):
        assert expressions.evaluate(f"{number} + 1", {**names}) == number + 1
    assert 2 <= len(kept) <= 4
