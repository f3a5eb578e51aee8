"""The search of a problem that goes on: by the same call, from every database, and by no other problem."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nas.errors import StudyError
from nas.records import Candidate, Fidelity, Measurement, Status
from nas.search.problem import solve
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from tests.search.toy import CHOICES, LADDER, evaluate, keys, problem, refusal


def test_the_same_call_goes_on(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "study.db")
    whole = solve(problem(), 12)
    first = solve(problem(), 5, storage=url, study="mine")
    again = solve(problem(), 12, storage=url, study="mine")
    assert keys(again.records)[:5] == keys(first.records)
    assert keys(again.records) == keys(whole.records)


def test_a_search_that_was_cut_off_evaluates_nothing_twice(tmp_path: Path) -> None:
    url, asked = sqlite_url(tmp_path / "study.db"), []

    def cut_off(candidate: Candidate, fidelity: Fidelity, seed: int) -> Measurement:
        asked.append(candidate.arch_id if hasattr(candidate, "arch_id") else candidate.architecture.arch_id)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return evaluate(candidate, fidelity, seed)

    with pytest.raises(KeyboardInterrupt):
        solve(problem(evaluate=cut_off), 8, storage=url)
    view = solve(problem(evaluate=cut_off), 8, storage=url)
    assert view.counts[Status.EVALUATED] == 8
    assert len(asked) == 9  # the one that was cut off, once more
    assert len(set(asked)) == 8


def test_every_database_will_do(url: str) -> None:
    view = solve(problem(), 6, storage=url, study="of-its-own")
    assert len(view.records) == 6
    opened = open_storage(url)
    assert Study.open(opened, "of-its-own").records() == view.records
    opened.remove_session()
    opened.engine.dispose()


def test_a_new_file_is_laid_out_as_optuna_would(tmp_path: Path) -> None:
    from optuna.storages import RDBStorage

    ours = open_storage(sqlite_url(tmp_path / "ours.db"), create=True)
    plain = RDBStorage(f"sqlite:///{tmp_path / 'plain.db'}")
    query = "SELECT name, sql FROM sqlite_master ORDER BY name"
    with ours.engine.connect() as one, plain.engine.connect() as other:
        tables = [[(n, "".join((q or "").split())) for n, q in c.exec_driver_sql(query)] for c in (one, other)]
        stamps = [c.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all() for c in (one, other)]
    assert tables[0] == tables[1]
    assert stamps[0] == stamps[1] == [plain.get_head_version()]
    for each in (ours, plain):
        each.remove_session()
        each.engine.dispose()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"objectives": {"loss": "minimize"}}, "a different objectives"),
        ({"caps": {"params": 60}}, "a different caps"),
        ({"caps": {"delay": 1.0}}, "a different caps"),
        ({"fidelities": LADDER}, "a different fidelities"),
        ({"choices": CHOICES | {"depth": (1, 2)}}, "other choices: depth: 1, 2, 3 then, 1, 2 now"),
        ({"name": "tea"}, "a different space name"),
    ],
)
def test_another_problem_does_not_go_on_with_a_study(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    url = sqlite_url(tmp_path / "study.db")
    solve(problem(), 2, storage=url, study="s")
    assert said in refusal(lambda: solve(problem(**change), 4, storage=url, study="s"), StudyError)


@pytest.mark.parametrize("change", [{"seed": 1}, {"sampler": "random"}, {"reduction": 3}])
def test_another_way_does_not_go_on_with_a_study(tmp_path: Path, change: dict[str, Any]) -> None:
    url = sqlite_url(tmp_path / "study.db")
    solve(problem(), 2, storage=url)
    assert f"a different {next(iter(change))}" in refusal(lambda: solve(problem(), 4, storage=url, **change))


def test_choices_in_another_order_are_the_same(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "study.db")
    solve(problem(), 2, storage=url)
    assert len(solve(problem(choices=dict(reversed(CHOICES.items()))), 4, storage=url).records) == 4
