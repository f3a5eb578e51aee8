"""Which checkpoints a study keeps: those of candidates that may be promoted, in as much disk as it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nas.records import Candidate, Fidelity, Measurement, TrialRecord
from nas.search.confirm import confirm
from nas.search.evaluator import TrainingEvaluator
from nas.search.loop import EpochDone, Event, run
from nas.search.request import SearchRequest
from nas.search.setup import Prepared, prepare
from nas.training.checkpoint import Checkpoints

pytestmark = pytest.mark.usefixtures("one_plan")


@pytest.fixture
def asked(tmp_path: Path, tiny_space: str) -> dict[str, Any]:
    """Give a request for a study of two rungs on a part of digits."""
    return {
        "results": tmp_path / "results",
        "space": tiny_space,
        "data": "digits",
        "study": "first",
        "trials": 4,
        "rungs": "1,2",
        "train_fraction": 0.1,
    }


def prepared_for(asked: dict[str, Any], **changes: Any) -> Prepared:
    return prepare(SearchRequest(**asked | changes))


def file_of(prepared: Prepared, record: TrialRecord) -> str:
    last = record.own[-1]
    return prepared.evaluator.training(record.network, last.fidelity, last.seed).identity.file_name


def test_only_candidates_that_may_be_promoted_keep_theirs(asked: dict[str, Any]) -> None:
    prepared = prepared_for(asked)
    run(prepared.study, prepared.evaluator, prepared.accept)
    top, records = prepared.study.config.fidelities[-1], prepared.study.records()
    below = [record for record in records if record.own[-1].fidelity != top]
    assert 0 < len(below) < len(records)
    kept = {path.name for path in prepared.folder.checkpoints.iterdir()}
    assert kept == {file_of(prepared, record) for record in below}


def test_further_seeds_leave_none(asked: dict[str, Any]) -> None:
    prepared = prepared_for(asked)
    run(prepared.study, prepared.evaluator, prepared.accept)
    before = set(prepared.folder.checkpoints.iterdir())
    confirm(prepared.study, prepared.evaluator, prepared.accept, top=2, seeds=2)
    assert set(prepared.folder.checkpoints.iterdir()) == before


def ending(evaluate: TrainingEvaluator, how: Measurement | Exception) -> Callable[..., Measurement]:
    """Let trial 0 end in another way, once it has left a checkpoint."""

    class Ending(TrainingEvaluator):
        def __call__(
            self, candidate: Candidate, fidelity: Fidelity, seed: int, on_epoch: Callable[..., None]
        ) -> Measurement:
            made = super().__call__(candidate, fidelity, seed, on_epoch)
            if candidate.number:
                return made
            if isinstance(how, Exception):
                raise how
            return made.model_copy(update=how)

    return Ending(**{name: getattr(evaluate, name) for name in evaluate.__dataclass_fields__})


@pytest.mark.parametrize(
    "how", [{"stopped": "memory"}, {"stopped": "time"}, {"diverged": True}, RuntimeError("shapes do not match")]
)
def test_what_cannot_go_on_leaves_none(asked: dict[str, Any], how: Any) -> None:
    prepared = prepared_for(asked, trials=1)
    run(prepared.study, ending(prepared.evaluator, how), prepared.accept)
    assert list(prepared.folder.checkpoints.iterdir()) == []


def test_what_is_interrupted_keeps_its_own(asked: dict[str, Any]) -> None:
    prepared = prepared_for(asked, trials=1)
    folder = prepared.folder.checkpoints
    at_once = replace(prepared.evaluator, checkpoints=Checkpoints(folder, seconds_at_risk=0))

    def interrupt(event: Event) -> None:
        if isinstance(event, EpochDone):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(prepared.study, at_once, prepared.accept, interrupt)
    assert len(list(folder.iterdir())) == 1


def largest(asked: dict[str, Any], name: str, size: str | None) -> int:
    """Run a study to its end; return the most bytes that its checkpoints took at any event."""
    prepared, sizes = prepared_for(asked, study=name, checkpoint_disk=size), list[int]()

    def measure(_: Event) -> None:
        folder = prepared.folder.checkpoints
        sizes.append(sum(path.stat().st_size for path in folder.iterdir()) if folder.exists() else 0)

    run(prepared.study, prepared.evaluator, prepared.accept, measure)
    assert [record for record in prepared.study.records() if len(record.own) == 2]
    return max(sizes)


def test_checkpoints_take_no_more_disk_than_was_allowed(asked: dict[str, Any]) -> None:
    assert largest(asked, "default", None) > 50_000
    assert 0 < largest(asked, "capped", "50k") <= 50_000
    assert largest(asked, "none", "0") == 0
