"""Spellings of one JSON value are one value."""

from __future__ import annotations

import pytest

from infraweave.core.data.json_codec import canonical, digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": [2.0]}, {"b": [2], "a": 1.0}),
        ([1e3, -0.0], [1000, 0]),
        (1e18, 10**18),
    ],
)
def test_one_value_has_one_form(one, other):
    assert canonical(one) == canonical(other)
    assert digest(one) == digest(other)


@pytest.mark.parametrize(("one", "other"), [(1, 1.5), (1, True), ("1.0", "1"), (1, "1"), (1e300, 1e301)])
def test_other_values_have_other_forms(one, other):
    assert canonical(one) != canonical(other)
