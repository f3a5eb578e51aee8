"""`nas confirm`: finalists are trained from further seeds, and the front says how sure it is."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from nas.search.evaluator import TrainingEvaluator
from tests.cli.conftest import Finished, Nas, Outcome, captured
from tests.cli.test_bad_input import refusal


@pytest.fixture(scope="module")
def confirmed(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """Give the results of a study with confirmed finalists, and what confirming them printed."""
    results = Path(shutil.copytree(finished.results, tmp_path_factory.mktemp("confirmed") / "results"))
    return results, captured("confirm", "little", "--top", 3, "--results", results)


def test_finalists_are_trained_and_the_front_shows_means_with_intervals(confirmed: tuple[Path, Outcome]) -> None:
    _, outcome = confirmed
    assert outcome.code == 0, outcome.err
    assert "up to 3 finalists, 3 seeds each: " in outcome.err
    assert "front of study little, means over seeds" in outcome.out
    for words in ("seeds", "\N{PLUS-MINUS SIGN}", "tied with", "the 95 % interval of a mean"):
        assert words in outcome.out


def test_the_same_command_again_trains_nothing(
    confirmed: tuple[Path, Outcome], nas: Nas, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, first = confirmed
    monkeypatch.setattr(TrainingEvaluator, "__call__", lambda *_: pytest.fail("trained again"))
    again = nas("confirm", "little", "--top", 3, "--results", results)
    assert again.code == 0, again.err
    assert again.out == first.out


def test_front_table_json_csv_and_page_say_how_sure_it_is(confirmed: tuple[Path, Outcome], nas: Nas) -> None:
    results, _ = confirmed
    where = ("front", "little", "--results", results)
    assert "is the 95 % interval of a mean" in nas(*where).out
    rows = json.loads(nas(*where, "--json").out)
    assert any(row["confirmed"] and row["seeds"] == 3 for row in rows)
    assert all(0 < row["val_accuracy_margin"] < 1 and isinstance(row["tied_with"], str) for row in rows)
    (first, *_) = csv.DictReader(nas(*where, "--csv").out.splitlines())
    assert {"confirmed", "val_accuracy_margin", "tied_with", "seeds"} <= set(first)
    page = (results / "little" / "front.html").read_text()
    assert "95 % interval of a mean" in page
    assert "What the hours bought" in page


def test_json_is_the_front(confirmed: tuple[Path, Outcome], nas: Nas) -> None:
    results, _ = confirmed
    rows = json.loads(nas("confirm", "little", "--top", 3, "--results", results, "--json").out)
    assert rows == json.loads(nas("front", "little", "--results", results, "--json").out)


def test_a_front_that_is_not_confirmed_says_so(finished: Finished, nas: Nas) -> None:
    out = nas("front", *finished.where).out
    assert "none of the front is confirmed: nas confirm little trains finalists from 3 seeds" in out
    assert "1 of 3" in out


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["litle"], "unknown study 'litle'; did you mean 'little'?"),
        (["little", "--top", "0"], "Invalid value for '--top'"),
        (["little", "--seeds", "1"], "Invalid value for '--seeds'"),
        ([], "Missing argument 'STUDY'"),
    ],
)
def test_a_mistake_is_one_line(nas: Nas, finished: Finished, arguments: list[str], fault: str) -> None:
    assert fault in refusal(nas("confirm", *arguments, "--results", finished.results))
