"""`--suppress` and `--suppress-to`: kept in the study's recipe, and part of what a study is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from nas.errors import InputError, StudyError
from nas.records import StudyConfig, Suppression
from nas.search.request import SearchRequest
from nas.search.setup import prepare
from nas.value import canonical_json
from tests.core.examples import config

pytestmark = pytest.mark.usefixtures("one_plan")


@pytest.fixture
def asked(tmp_path: Path, tiny_space: str) -> dict[str, Any]:
    """Give a request for a study of the tiny space on digits."""
    return {"results": tmp_path / "results", "space": tiny_space, "data": "digits", "study": "first", "trials": 4}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, None),
        ({"suppress": 0.5}, Suppression(strength=0.5)),
        ({"suppress_to": 0.0}, Suppression(target=0.0)),
        ({"suppress": 2.0, "suppress_to": 0.1}, Suppression(strength=2, target=0.1)),
    ],
)
def test_what_is_asked_for_is_in_the_recipe(
    asked: dict[str, Any], options: dict[str, float], expected: Suppression | None
) -> None:
    prepared = prepare(SearchRequest(**asked, **options))
    assert prepared.study.config.recipe.suppression == expected
    assert prepared.evaluator.recipe.suppression == expected
    again = prepare(SearchRequest(**asked, **options))
    assert again.choice is None
    assert prepare(SearchRequest(results=asked["results"], study="first")).evaluator.recipe.suppression == expected


@pytest.mark.parametrize(
    ("started", "resumed", "difference"),
    [
        ({}, {"suppress": 1.0}, "different suppress than it was started with: the study has none, asked was 1.0"),
        ({"suppress": 1.0}, {"suppress": 2.0}, "different suppress than"),
        ({"suppress": 1.0}, {"suppress_to": 0.1}, "different suppress-to than"),
        ({"suppress_to": 0.2}, {"suppress_to": 0.1}, "the study has 0.2, asked was 0.1"),
    ],
)
def test_a_study_keeps_how_it_suppresses(
    asked: dict[str, Any], started: dict[str, float], resumed: dict[str, float], difference: str
) -> None:
    prepare(SearchRequest(**asked, **started))
    with pytest.raises(StudyError, match=difference):
        prepare(SearchRequest(**asked, **resumed))


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("suppress", 0.0, "--suppress must be a number above 0, got 0.0"),
        ("suppress", math.nan, "--suppress must be a number above 0, got nan"),
        ("suppress", math.inf, "--suppress must be a number above 0, got inf"),
        ("suppress_to", -0.1, "--suppress-to must be at least 0 and below 1, got -0.1"),
        ("suppress_to", 1.0, "--suppress-to must be at least 0 and below 1, got 1.0"),
        ("suppress_to", math.nan, "--suppress-to must be at least 0 and below 1, got nan"),
    ],
)
def test_a_value_out_of_range_is_refused(asked: dict[str, Any], option: str, value: float, rule: str) -> None:
    with pytest.raises(InputError) as caught:
        SearchRequest(**asked | {option: value})
    assert str(caught.value) == rule


def test_studies_from_before_load_and_their_text_is_as_it_was() -> None:
    text = canonical_json(config())
    assert "suppression" not in text
    assert StudyConfig.model_validate_json(text).recipe.suppression is None


def test_a_study_with_suppression_survives_json() -> None:
    recipe = config().recipe.model_copy(update={"suppression": Suppression(target=0.1, layers="all")})
    study = config(recipe=recipe)
    assert StudyConfig.model_validate_json(canonical_json(study)) == study
