"""The commands that read studies, on studies of a problem of one's own: what means nothing there is not shown."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from nas.problem import Problem
from nas.records import Candidate, Fidelity, Measurement
from nas.search.problem import solve
from nas.search.storage import sqlite_url
from nas.space import Genotype
from tests.cli.conftest import Nas

OF_NETWORKS = ("macs", "MACs", "params", "parameters", "interference", "image", "problem table", "confirm", "px", "0 B")


def cost(genotype: Genotype) -> dict[str, float]:
    return {"delay_ms": 1.5 * int(genotype["depth"]), "energy": 1e-4 * int(genotype["depth"])}


def evaluate(candidate: Candidate, fidelity: Fidelity, seed: int) -> Measurement:
    depth = int(candidate.genotype["depth"])
    if depth == 5:
        raise OSError("the probe fell off")
    score = depth + len(str(candidate.genotype["act"])) / 10 + fidelity.epochs / 100
    return Measurement(fidelity=fidelity, seed=seed, metrics={"score": score})


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give two studies: `table`, of two objectives, and `ladder`, of one objective, no cost and two rungs."""
    folder = tmp_path_factory.mktemp("results")
    choices = {"depth": tuple(range(1, 9)), "act": ("relu", "gelus")}
    two = Problem(
        "table", choices, {"score": "maximize", "energy": "minimize"}, evaluate, cost=cost, caps={"delay_ms": 9.5}
    )
    ladder = tuple(Fidelity(epochs=epochs, resolution=1) for epochs in (1, 4))
    one = Problem(
        "ladder", {"depth": (1, 2, 3, 4), "act": ("a", "b")}, {"score": "maximize"}, evaluate, fidelities=ladder
    )
    for problem, trials in ((two, 20), (one, 8)):
        (folder / problem.name).mkdir()
        solve(problem, trials, storage=sqlite_url(folder / problem.name / "study.db"), sampler="random")
    return folder


def clean(text: str) -> str:
    """Return a text after looking that it speaks of no network."""
    assert [word for word in OF_NETWORKS if re.search(rf"\b{word}\b", text)] == []
    return text


def test_studies_are_listed_with_caps_of_their_own(results: Path, nas: Nas) -> None:
    table = clean(nas("studies", "--results", results).out)
    assert re.search(r"table +table +- +delay_ms 9.5 +12 of 12 ", table)
    assert re.search(r"ladder +ladder +- +- +8 of 8 ", table)
    rows = json.loads(nas("studies", "--results", results, "--json").out)
    assert [(row["data"], row["cap"]) for row in rows] == [(None, {}), (None, {"delay_ms": 9.5})]


def test_the_status_counts_trials(results: Path, nas: Nas) -> None:
    text = clean(nas("status", "table", "--results", results).out)
    assert re.search(r"evaluated +10\b", text)
    assert re.search(r"failed +2\b", text)
    assert "failed: InputError: the evaluator raised OSError: the probe fell off" in text


def test_the_front_shows_objectives_costs_and_choices(results: Path, nas: Nas) -> None:
    text = clean(nas("front", "table", "--results", results).out)
    assert "front of study table under delay_ms 9.5" in text
    assert re.search(r"trial +arch id +score +energy +delay_ms +choices", text)
    assert re.search(r" 6.51 +0.0006 +9 +depth 6, act gelus", text)
    assert "under" not in clean(nas("front", "ladder", "--results", results).out)


def test_the_front_as_json_has_what_was_measured(results: Path, nas: Nas) -> None:
    rows = json.loads(nas("front", "table", "--results", results, "--json").out)
    assert [row["energy"] for row in rows] == pytest.approx([1e-4, 2e-4, 3e-4, 4e-4, 6e-4])
    assert not {"macs", "params", "weight_bytes", "val_accuracy", "resolution", "reference"} & rows[0].keys()
    assert rows[0]["choices"] == "depth 1, act gelus"


def test_another_cap_needs_params(results: Path, nas: Nas) -> None:
    refused = nas("front", "table", "--cap", "1k", "--results", results)
    assert refused.code == 2
    assert "has no params among its costs (it has delay_ms, energy)" in refused.err


def test_a_trial_shows_its_costs_and_its_measurements(results: Path, nas: Nas) -> None:
    text = clean(nas("show", "table", "0", "--results", results).out)
    assert re.search(r"cost +value", text)
    assert re.search(r"seed +score", text)
    assert "epochs" not in text
    assert re.search(r"epochs +seed +score", nas("show", "ladder", "0", "--results", results).out)


@pytest.mark.parametrize("name", ["table", "ladder"])
def test_the_page_says_what_a_problem_is(results: Path, nas: Nas, tmp_path: Path, name: str) -> None:
    assert nas("front", name, "--results", results, "--html", tmp_path / "front.html").code == 0
    page = (tmp_path / "front.html").read_text(encoding="utf-8")
    header = clean(re.sub(r"<[^>]+>", " ", page[page.index("<header>") : page.index("</header>")]))
    assert "score \N{UPWARDS ARROW}" in header
    assert ("compared at" in header) == (name == "ladder")
    assert '<th scope="col" class="words">choices</th>' in page


@pytest.mark.parametrize(
    "command",
    [
        ("search", "--study", "table"),
        ("worker", "table"),
        ("confirm", "table"),
        ("compare", "table", "--references", "resnet18"),
        ("fidelity", "table"),
        ("fidelity", "table", "--no-training"),
        ("enqueue", "table", "3"),
    ],
    ids=" ".join,
)
def test_what_trains_networks_says_where_a_problem_goes_on(results: Path, nas: Nas, command: tuple[str, ...]) -> None:
    refused = nas(*command, "--results", results)
    assert refused.code == 2
    assert "study 'table' is of a problem of its own" in refused.err
    assert refused.err.count("\n") == 1
