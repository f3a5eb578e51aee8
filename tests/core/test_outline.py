"""The quick reader takes nothing that the careful one refuses, and gives the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nas.errors import StudyError
from nas.outline import FidelityOutline, TrainingOutline, _checked, outline, training
from nas.records import Fidelity, Measurement
from nas.search.texts import measurement as read_measurement
from nas.value import compact_json
from tests.core.examples import measurement, record

CANDIDATE = compact_json(record(measurement(0.5), number=3).candidate)
MEASURED = compact_json(measurement(0.5))
DEEP = "[" * 100_000
ODD: list[Any] = [-1, 0, 1, 1.0, 2.5, 10**30, "3", "x", True, None, [], {}, [1], {"a": 1}, {"a": "b"}, "\ud800"]
TOKENS = ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "01", "", DEEP, '"unended', "1, 2", "1 // comment")


def outcome(parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except (ValidationError, StudyError):
        return "refused"


def late(text: str) -> Any:
    return read_measurement("trial 3: its measurement", text)


def measured(text: str) -> Any:
    return Measurement.model_validate_json(text)


def with_token(text: str, name: str, token: str) -> str:
    """Return the JSON with a token in place of the value of a field, wherever that is."""
    content = json.loads(text)
    found = next(each for each in (content, *content.values()) if isinstance(each, dict) and name in each)
    found[name] = "TOKEN"
    return json.dumps(content).replace('"TOKEN"', token)


COSTS = ("params", "macs", "peak_activation_bytes", "weight_bytes", "cost", "architecture", "stages")
FIELDS = ("fidelity", "epochs", "resolution", "seed", "metrics", "val_accuracy")


@pytest.mark.parametrize("name", COSTS)
@pytest.mark.parametrize("token", [*map(json.dumps, ODD), *TOKENS])
def test_an_outline_is_that_of_the_careful_reader(name: str, token: str) -> None:
    text = with_token(CANDIDATE, name, token)
    assert outcome(outline, text) == outcome(_checked, text)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("token", [*map(json.dumps, ODD), *TOKENS])
def test_a_measurement_is_that_of_the_careful_reader(name: str, token: str) -> None:
    text = with_token(MEASURED, name, token)
    assert outcome(late, text) == outcome(measured, text)


@pytest.mark.parametrize(
    "more",
    [
        *({"train_seconds": each} for each in ODD),
        *({"images_per_second": each} for each in ODD),
        *({"diverged": each} for each in ODD),
        *({"stopped": each} for each in (*ODD, "memory", "time", "power")),
        *({"continued_from": each} for each in ODD),
        *({"fidelity": {"epochs": 1, "resolution": 8, "train_fraction": each}} for each in (*ODD, 0.5, 1.5)),
    ],
)
def test_a_further_field_is_that_of_the_careful_reader(more: dict[str, Any]) -> None:
    text = json.dumps(json.loads(MEASURED) | more)
    assert outcome(late, text) == outcome(measured, text)


@given(st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False) | st.integers()))
def test_metrics_come_back_to_the_last_digit(metrics: dict[str, float]) -> None:
    text = json.dumps(json.loads(MEASURED) | {"metrics": metrics})
    assert outcome(late, text) == outcome(measured, text)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", "7", DEEP, '{"cost":' + DEEP, "\ud800", "\0"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        outline(text)
    assert training(text) is None
    with pytest.raises(StudyError, match=r"^trial 3: its measurement cannot be read: "):
        late(text)


def test_what_we_write_is_read_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("nas.outline._checked")
    assert training(MEASURED) is not None
    assert "epochs" not in vars(late(MEASURED))
    assert late(MEASURED) == measurement(0.5)
    assert outline(CANDIDATE)[0] == record().cost


def test_the_quick_reader_knows_every_field() -> None:
    assert [*TrainingOutline.__struct_fields__, "epochs"] == list(Measurement.model_fields)
    assert {*FidelityOutline.__struct_fields__} == {*Fidelity.model_fields}
