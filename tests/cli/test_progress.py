"""Progress on a terminal: a panel that says where the search stands."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from nas.cli import progress
from nas.cli.progress import Display
from nas.records import Epoch
from nas.search.books import Job
from nas.search.loop import EpochDone, Exhausted, Finished, Started
from nas.search.study import Study
from nas.training.loop import Progress
from tests.cli import conftest


@pytest.fixture
def study(finished: conftest.Finished) -> Study:
    """Give the finished study."""
    return finished.open()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Make progress believe that this text is a terminal."""
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=140, color_system=None)
    monkeypatch.setattr(progress, "Console", lambda **_: console)
    return text


@pytest.fixture
def job(study: Study) -> Job:
    """Give a job of the study's first trial."""
    record = study.records()[0]
    return Job(record.candidate, 0, study.config.fidelities[0], record.measurements[0].seed, 1, 0)


def test_the_panel_says_what_runs_and_how_well_it_goes(study: Study, terminal: io.StringIO, job: Job) -> None:
    with Display(study) as display:
        display(Started(job))
        display(EpochDone(job, Progress(3, 8, Epoch(train_loss=1.25, seconds=1), images_per_second=1234.5)))
    best = study.view().best
    shown = terminal.getvalue()
    assert f"{conftest.TRIALS} of {conftest.TRIALS}" in shown
    assert "trial 0, epoch 3/8, loss 1.250" in shown
    assert f"val_accuracy {100 * best.metrics['val_accuracy']:.2f} % (trial {best.number}), front of " in shown
    assert "1,234 images/s" in shown


def test_a_terminal_gets_no_lines(study: Study, terminal: io.StringIO, job: Job) -> None:
    with Display(study) as display:
        display(Finished(job, study.records()[0].measurements[0]))
    assert f"[{conftest.TRIALS}/" not in terminal.getvalue()


@pytest.mark.parametrize(
    ("measured", "words"),
    [("accuracy", "val accuracy"), ("diverged", "diverged"), ("nothing", "failed: RuntimeError: no memory")],
)
def test_a_line_says_how_a_trial_ended(
    study: Study, capsys: pytest.CaptureFixture[str], job: Job, measured: str, words: str
) -> None:
    made = study.records()[0].measurements[0]
    diverged = made.model_copy(update={"diverged": True, "metrics": {}})
    outcome = {"accuracy": made, "diverged": diverged, "nothing": None}[measured]
    with Display(study) as display:
        display(Finished(job, outcome, "RuntimeError: no memory"))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"[{conftest.TRIALS}/{conftest.TRIALS}] trial 0 (1 epochs, ")
    assert words in line


def test_the_end_of_a_space_is_remembered(study: Study) -> None:
    display = Display(study)
    display(Exhausted("nothing new"))
    assert display.exhausted == "nothing new"
