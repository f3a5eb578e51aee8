"""Values are frozen, compared by content and written as one JSON text."""

from __future__ import annotations

import math
from functools import cached_property

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from nas.value import FrozenMap, Value, canonical_json, derive_seed, digest, explain


class Point(Value):
    """A value to test with."""

    x: int = Field(default=0, le=10)
    y: float = 0.0
    notes: FrozenMap[float] = FrozenMap({})

    @cached_property
    def doubled(self) -> int:
        """Twice x."""
        return 2 * self.x


def test_assignment_to_a_value_raises() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Point().x = 1


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Point(z=1)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_cannot_hold_are_refused(number: float) -> None:
    with pytest.raises(ValidationError, match="finite"):
        Point(y=number)
    with pytest.raises(ValidationError, match="finite"):
        Point(notes={"a": number})


def test_equal_values_have_equal_hashes_and_text() -> None:
    one, other = Point(x=1, notes={"a": 1.0, "b": 2.0}), Point(notes={"b": 2.0, "a": 1.0}, x=1)
    assert one == other
    assert hash(one) == hash(other)
    assert canonical_json(one) == canonical_json(other) == '{"notes":{"a":1.0,"b":2.0},"x":1}'


def test_cached_properties_do_not_count_in_comparisons() -> None:
    seen = Point(x=1)
    assert seen.doubled == 2
    assert seen == Point(x=1)
    assert hash(seen) == hash(Point(x=1))


def test_a_changed_copy_is_validated_and_forgets_cached_properties() -> None:
    seen = Point(x=1)
    assert seen.doubled == 2
    assert seen.model_copy(update={"x": 2}).doubled == 4
    with pytest.raises(ValidationError, match="less than or equal to 10"):
        seen.model_copy(update={"x": 11})


def test_a_frozen_map_reads_as_a_dict_and_cannot_change() -> None:
    notes = Point(notes={"a": 1}).notes
    assert dict(notes) == {"a": 1.0}
    assert repr(notes) == "{'a': 1.0}"
    assert len({notes, FrozenMap({"a": 1.0})}) == 1
    with pytest.raises(TypeError, match="item assignment"):
        notes["a"] = 2.0  # type: ignore[index]


def test_a_frozen_map_keeps_its_own_copy() -> None:
    given_items = {"a": 1.0}
    notes = FrozenMap(given_items)
    given_items["a"] = 2.0
    assert notes["a"] == 1.0


@pytest.mark.parametrize("notes", [5, [1], {"a": "b"}, {1: 1.0}])
def test_a_frozen_map_refuses_other_types(notes: object) -> None:
    with pytest.raises(ValidationError):
        Point(notes=notes)


@given(st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)))
def test_a_frozen_map_survives_json(items: dict[str, float]) -> None:
    point = Point(notes=items)
    assert Point.model_validate_json(canonical_json(point)) == point


def test_a_digest_is_the_start_of_the_sha256() -> None:
    assert digest("abc") == "ba7816bf8f01"
    assert digest("abc", 4) == "ba78"


def test_a_derived_seed_depends_on_every_part_and_its_type() -> None:
    seeds = [
        derive_seed(0, 1, "train"),
        derive_seed(0, 1, "data"),
        derive_seed(0, 2, "train"),
        derive_seed(0, "1", "train"),
    ]
    assert len(set(seeds)) == 4
    assert derive_seed(0, 1, "train") == seeds[0]


@given(st.integers(), st.text())
def test_a_derived_seed_has_32_bits(study: int, purpose: str) -> None:
    assert 0 <= derive_seed(study, purpose) < 2**32


def test_an_explained_error_is_one_line_with_field_rule_and_value() -> None:
    with pytest.raises(ValidationError) as caught:
        Point(x=11)
    assert explain(caught.value) == "x: input should be less than or equal to 10, got 11"
