"""`nas references`, `nas scale` and `nas compare`: published networks, alone and beside a study."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from nas.architecture import Architecture, Task
from nas.budget import cost
from nas.records import Measurement
from nas.references import references
from nas.search.evaluator import TrainingEvaluator
from tests.cli.conftest import Finished, Nas, Outcome
from tests.cli.test_bad_input import refusal


def read(outcome: Outcome) -> list[dict[str, object]]:
    """Return the JSON on stdout."""
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


def test_every_reference_is_listed_with_its_cost_beside_the_published_count(nas: Nas) -> None:
    rows = read(nas("references", "--json"))
    assert [row["name"] for row in rows] == list(references())
    for row, each in zip(rows, references().values(), strict=True):
        counted = cost(each.architecture, each.task)
        assert (row["params"], row["macs"]) == (counted.params, counted.macs)
        assert row["peak_activation_bytes"] == counted.peak_activation_bytes
        assert row["published_params"] == each.params
    table = nas("references").out
    line = next(line for line in table.splitlines() if line.strip().startswith("mobilenetv2_100 "))
    assert "3,504,872" in line
    assert "48%" in line


def test_another_resolution_changes_activations_and_other_classes_the_head(nas: Nas) -> None:
    own, small, few = (
        {row["name"]: row for row in read(nas("references", "--json", *more))}["resnet18"]
        for more in ((), ("--resolution", 64), ("--classes", 10))
    )
    assert small["params"] == own["params"]
    assert small["peak_activation_bytes"] < own["peak_activation_bytes"]
    assert few["params"] == own["params"] - 990 * 513
    assert few["head_share"] < own["head_share"] == pytest.approx(513_000 / own["params"])


def test_a_resolution_that_is_too_small_is_one_line_with_the_network(nas: Nas) -> None:
    line = refusal(nas("references", "--resolution", 2))
    assert line.endswith("at 2 px: the map would vanish: 1x1 under a 2x2 convolution")
    assert line.split()[0] in references()


def test_a_scaled_network_fills_the_cap_and_can_be_read_back(nas: Nas, tmp_path: Path) -> None:
    path = tmp_path / "scaled.json"
    (row,) = [read(nas("scale", "resnet18", "--cap", "500k", "--json", "--out", path))]
    architecture = Architecture.from_json(path.read_text())
    assert architecture == Architecture.model_validate(row["architecture"])
    assert architecture.arch_id == row["arch_id"]
    assert 495_000 <= row["params"] == cost(architecture, Task(num_classes=1000, resolution=224)).params <= 500_000
    table = nas("scale", "resnet18", "--cap", "500k").out
    for words in (architecture.words(), f"{row['params']:,} (", "of the cap", "MiB", "of the params"):
        assert words in table


def test_classes_and_resolution_are_those_asked_for(nas: Nas) -> None:
    row = read(
        nas("scale", "resnet18", "--cap", "100k", "--classes", 10, "--resolution", 32, "--by", "width", "--json")
    )
    found = Architecture.model_validate(row["architecture"])
    task = Task(num_classes=10, resolution=32)
    assert (row["num_classes"], row["resolution"], row["by"]) == (10, 32, "width")
    assert cost(found, task).macs == row["macs"]
    assert [len(stage.blocks) for stage in found.stages] == [2, 2, 2, 2]


@pytest.mark.parametrize(("given", "meant"), [("mobilenetv2", "mobilenetv2_100"), ("nodepth", "nodepth_1m5")])
def test_a_name_without_its_size_is_the_largest_of_that_name(nas: Nas, given: str, meant: str) -> None:
    assert read(nas("scale", given, "--cap", "1M", "--json"))["name"] == meant


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["resnet19", "--cap", "1M"], "unknown reference 'resnet19'; did you mean 'resnet18'?"),
        (["resnet18", "--cap", "1Q"], "--cap: must be a positive count"),
        (["resnet18", "--cap", "100"], "cap: scaled by both, even the smallest member fails: params"),
        (["resnet18", "--cap", "1M", "--by", "depth"], "cap: scaled by depth, even the smallest member fails"),
        (["resnet18", "--cap", "1M", "--by", "length"], "Invalid value for '--by'"),
        (["resnet18", "--cap", "1M", "--classes", "1"], "Invalid value for '--classes'"),
        (["resnet18", "--cap", "1M", "--resolution", "0"], "Invalid value for '--resolution'"),
        (["resnet18"], "Missing option '--cap'"),
        (["resnet18", "--cap", "1M", "--out", "/nowhere/x.json"], "--out /nowhere/x.json: cannot be written"),
        (["convnext_atto", "--cap", "1M", "--resolution", "2"], "convnext_atto at 2 px: the map would vanish"),
    ],
)
def test_a_mistake_of_scale_is_one_line(nas: Nas, arguments: list[str], fault: str) -> None:
    assert refusal(nas("scale", *arguments)).startswith(fault)


@pytest.fixture
def results(finished: Finished, tmp_path: Path) -> Path:
    """Give the results of the finished study to write to."""
    return Path(shutil.copytree(finished.results, tmp_path / "results"))


def compared(nas: Nas, results: Path, *names: str, more: tuple[object, ...] = ()) -> Outcome:
    """Compare the study with references."""
    return nas("compare", "little", "--references", ",".join(names), "--results", results, *more)


def test_references_stand_beside_the_front(nas: Nas, results: Path) -> None:
    before = read(nas("front", "little", "--results", results, "--json"))
    outcome = compared(nas, results, "resnet18", "starnet")
    assert outcome.code == 0, outcome.err
    assert "[2/2] starnet_150 (" in outcome.err
    rows = read(nas("front", "little", "--results", results, "--json"))
    assert rows[: len(before)] == before
    assert [row["reference"] for row in rows] == [None] * len(before) + ["resnet18", "starnet_150"]
    for row in rows[len(before) :]:
        assert (row["trial"], row["front"], row["epochs"]) == (None, False, 2)
        assert row["params"] <= 2_000
        assert row["dominated"] in {True, False}
    lines = list(csv.DictReader(io.StringIO(nas("front", "little", "--results", results, "--csv").out)))
    assert [line["reference"] for line in lines] == [row["reference"] or "" for row in rows]
    for table in (outcome.out, nas("front", "little", "--results", results).out):
        assert "standing" in table
        assert "on the front" in table
        assert "starnet_150" in table


def test_the_page_shows_the_references(nas: Nas, results: Path) -> None:
    assert "References:" not in (results / "little" / "front.html").read_text()
    compared(nas, results, "resnet18")
    page = (results / "little" / "front.html").read_text()
    assert "References: 1" in page
    assert "<td>resnet18</td>" in page


def test_the_same_command_again_trains_nothing(nas: Nas, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compared(nas, results, "resnet18", more=("--json",))
    monkeypatch.setattr(TrainingEvaluator, "__call__", lambda *_: pytest.fail("trained again"))
    assert read(compared(nas, results, "resnet18", more=("--json",))) == read(first)


def test_ctrl_c_leaves_one_line_and_130_and_the_rest_follows(
    nas: Nas, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate, trained = TrainingEvaluator.__call__, []

    def interrupted(self: TrainingEvaluator, *given: object) -> Measurement:
        trained.append(given)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return evaluate(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingEvaluator, "__call__", interrupted)
        patched.setattr("nas.search.books.worker_id", lambda: "")
        patched.setattr("nas.search.leases.is_gone", lambda _: False)
        outcome = compared(nas, results, "resnet18", "starnet")
    assert (outcome.code, outcome.out) == (130, "")
    expected = "stopped; 1 of 2 trainings are in the study. The same command goes on from here."
    assert outcome.err.splitlines()[-1] == expected
    monkeypatch.setattr("nas.search.leases.is_gone", lambda _: True)
    assert "[2/2] starnet_150" in compared(nas, results, "resnet18", "starnet").err


def test_a_training_that_fails_ends_with_one_after_the_others(
    nas: Nas, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate, trained = TrainingEvaluator.__call__, []

    def fails_first(self: TrainingEvaluator, *given: object) -> Measurement:
        trained.append(given)
        if len(trained) == 1:
            raise RuntimeError("no memory")
        return evaluate(self, *given)

    monkeypatch.setattr(TrainingEvaluator, "__call__", fails_first)
    outcome = compared(nas, results, "resnet18", "starnet")
    assert outcome.code == 1
    assert "resnet18 (" in outcome.err
    assert "failed: RuntimeError: no memory" in outcome.err
    assert outcome.err.splitlines()[-1] == "nas: study little: 1 of 2 trainings are not done; see above"
    assert "failed" in outcome.out


@pytest.mark.parametrize(
    ("study", "names", "fault"),
    [
        ("litle", "resnet18", "unknown study 'litle'; did you mean 'little'?"),
        ("little", "resnet19", "unknown reference 'resnet19'; did you mean 'resnet18'?"),
        ("little", ",", "study 'little': no reference to compare with"),
        ("little", "ghostnet_050", "reference ghostnet_050: cap: scaled by both, even the smallest member fails"),
    ],
)
def test_a_mistake_of_compare_is_one_line_and_nothing_is_trained(
    nas: Nas, finished: Finished, study: str, names: str, fault: str
) -> None:
    before = finished.open().references()
    line = refusal(nas("compare", study, "--references", names, "--results", finished.results))
    assert fault in line
    assert finished.open().references() == before == ()
