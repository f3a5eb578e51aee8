"""The examples of docs/problems.md run as they stand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.pareto import front, objectives
from nas.problem import Problem
from nas.search.problem import solve
from nas.search.samplers.named import SAMPLERS
from nas.view import StudyView

PAGE = Path(nas.__file__).parent.parent / "docs" / "problems.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def run(*blocks: str, given: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run the blocks of the page one after another; return what they define."""
    names: dict[str, Any] = {"__name__": "docs", **(given or {})}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    return names


def test_the_first_example_is_about_thirty_lines_and_finds_a_front(capsys: pytest.CaptureFixture[str]) -> None:
    view = run(BLOCKS[0])["view"]
    assert isinstance(view, StudyView)
    assert len(view.records) == 20
    assert len(BLOCKS[0].splitlines()) <= 35
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(view.front)
    assert lines[0].startswith("channels 8, layers 1, kernel 3, act gelu {'params': 576.0, 'accuracy': 0.78")


def test_the_table_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = {
        f"{i:04d}": {"accuracy": [90 + i % 7, 91], "params": 80_000 + i}
        for i in range(2223)
        if set(f"{i:04d}") <= {*"012"}
    }
    Path("table.json").write_text(json.dumps(rows))
    view = solve(run(*BLOCKS[:2])["problem"], 10)
    assert len(view.records) == 10
    assert view.best is not None


def test_the_ladder_is_climbed() -> None:
    problem = run(BLOCKS[0], BLOCKS[2])["problem"]
    view = solve(problem, 8)
    assert {len(record.own) for record in view.records} == {1, 2}


def test_the_farm_is_searched_by_its_workers(tmp_path: Path) -> None:
    farm = Problem(
        "farm",
        {"x": tuple(range(30))},
        {"accuracy": "maximize", "milliseconds": "minimize"},
        lambda *given: names["on_a_device"](*given),
    )
    names: dict[str, Any] = {"farm": farm, "deploy_and_time": lambda _, genotype: (genotype["x"], genotype["x"] ** 0.5)}
    block = BLOCKS[3].replace("postgresql+psycopg://nas@server/nas", f"sqlite:///{tmp_path / 'study.db'}")
    assert "study.db" in block
    names |= run(BLOCKS[0], given=names)
    exec(compile(block.replace("solve(", "view = solve(").replace("300", "20"), str(PAGE), "exec"), names)
    assert len(names["view"].records) == 20
    points = [names["view"].metrics(record) for record in names["view"].records]
    assert len(front(points, objectives(names["view"].config.objectives))) == 20


def test_a_sampler_object_may_be_passed() -> None:
    run(BLOCKS[0], BLOCKS[4].replace("n_trials=50", "n_trials=5"))


def test_the_page_names_every_sampler() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in SAMPLERS if f"`{name}`" not in text] == []
