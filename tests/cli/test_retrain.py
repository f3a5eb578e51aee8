"""`nas retrain` as a user has it: from a study or a file to models, and one line for each mistake."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nas.data.load import load_dataset
from nas.records import Pace, Plan
from nas.retrain.job import HELD_OUT, Job, Source
from nas.training.named import changed, find_recipe
from nas.training.plan import PlanChoice
from nas.value import FrozenMap
from tests.cli.conftest import Finished, Nas
from tests.retrain.conftest import DIGITS, SMALL

QUICK = ("--set", "epochs=2", "--set", "ema_decay=0.5", "--device", "cpu")


@pytest.fixture(autouse=True)
def _plain_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(job: Job, device: str, *, processes: int = 1) -> PlanChoice:
        pace = Pace(images_per_second=1000, macs=job.cost.macs)
        return PlanChoice(
            plan=Plan(device=device), batch_size=64 // processes, pace=pace, reasons=(), tried=FrozenMap({})
        )

    monkeypatch.setattr("nas.cli.retraining.chosen_plan", choose)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Give the file of a small architecture."""
    path = tmp_path / "small.json"
    path.write_text(SMALL.model_dump_json())
    return path


def test_finalists_of_a_study_are_retrained_and_skipped_the_next_time(
    nas: Nas, finished: Finished, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    subprocess.run(["cp", "-r", finished.results, results], check=True)
    command = ("retrain", "little", "--results", results, "--top", 2, "--seeds", 2, *QUICK)
    first = nas(*command, "--json")
    assert first.code == 0, first.err
    rows = json.loads(first.out)
    assert len(rows) == 4
    assert all(0 <= row["top1"] <= 1 for row in rows)
    assert "epoch 2/2" in first.err
    again = nas(*command)
    assert again.code == 0
    assert again.err.count("done before") == 4
    assert "2 seeds" in again.out
    assert "retrained" in nas("front", "little", "--results", results).out
    (page,) = [line for line in (results / "little" / "front.html").read_text().splitlines() if "Retrained:" in line]
    assert "2 networks" in page
    listed = json.loads(nas("front", "little", "--results", results, "--json").out)
    means = {row["retrained_accuracy"] for row in listed} - {None}
    assert means
    number = next(row["trial"] for row in listed if row["retrained_accuracy"] is not None)
    assert "retrained: test top-1" in nas("show", "little", number, "--results", results).out
    assert (
        "2 retrained, a rank correlation takes 5"
        in nas("fidelity", "little", "--no-training", "--results", results).out
    )
    model = results / "little" / "retrain" / rows[0]["arch_id"] / "tiny" / "0"
    evaluated = json.loads(nas("evaluate", model, "--data", "digits", "--json").out)
    assert evaluated["results"][0]["top1"] == pytest.approx(rows[0]["top1"])


def test_a_file_needs_no_study_and_a_plan_writes_nothing(nas: Nas, small: Path, tmp_path: Path) -> None:
    command = ("retrain", "mine", "--arch", small, "--data", "digits", "--results", tmp_path / "r", *QUICK)
    plan = nas(*command, "--plan", "--json")
    assert plan.code == 0, plan.err
    found = json.loads(plan.out)
    (row,) = found["networks"]
    assert row["seeds_left"] == 3
    assert found["hours"] == pytest.approx(3 * row["hours"])
    assert row["hours"] == pytest.approx((2 * 1294 + 2 * 144 / 3) / 1000 / 3600, rel=0.02)
    assert not (tmp_path / "r").exists()
    assert "hours in all" in nas(*command, "--plan").out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--top", 1, "--trial", 0), "--top and --trial: one of the two"),
        (("--trial", 99), "no trial 99"),
        (("--recipe", "tinynex"), "--recipe: unknown recipe 'tinynex'; did you mean 'tinynext'?"),
        (("--set", "epoch=3"), "--set: unknown field 'epoch'; did you mean 'epochs'?"),
        (("--set", "epochs=three"), "--set: epochs: input should be a valid integer"),
        (("--hold-out", 1.5), "--hold-out: must be above 0 and below 1, got 1.5"),
        (("--as", "../up"), "--as: must be letters, digits, - _ or ., got '../up'"),
        (("--device", "tpu"), "--device must be cpu, cuda"),
        (("--data", "folder:/nowhere"), "/nowhere"),
        (("--teacher", "timm:resnet10t"), "needs its weights; --teacher-weights FILE"),
        (("--teacher-weights", "x.safetensors"), "--teacher is missing"),
        (("--set", "distillation.weight=1"), "--teacher is missing"),
    ],
)
def test_a_mistake_is_one_line(nas: Nas, finished: Finished, arguments: tuple[object, ...], line: str) -> None:
    outcome = nas("retrain", *finished.where, *arguments)
    assert outcome.code == 2
    assert line in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (finished.folder / "retrain").exists()


def begin(folder: Path, *settings: str, label: str = "tiny") -> Path:
    """Write down what a training is begun with, so that no plan is measured; return its folder."""
    source = Source(DIGITS, load_dataset(DIGITS, seed=0, validation_fraction=HELD_OUT), HELD_OUT, pytest.fail)
    job = Job("", SMALL, source, changed(find_recipe("tiny"), settings), label, folder)
    job.begun(Plan()).write(job.folder(0))
    return job.folder(0)


def test_processes_share_a_training_and_say_things_once(small: Path, tmp_path: Path) -> None:
    wild = ("learning_rate=1e30", "optimizer=sgd")
    folder = begin(tmp_path / "mine", "epochs=1")
    begin(tmp_path / "mine", *wild, label="wild")
    given = ["--arch", str(small), "--data", "digits", "--results", str(tmp_path), "--seeds", "1", "--device", "cpu"]
    command = [sys.executable, "-m", "nas", "retrain", "mine", *given, "--gpus", "2"]

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *more], capture_output=True, text=True, check=False)

    done = run("--set", "epochs=1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test top-1") == 1
    assert done.stderr.count("seed 0: test top-1") == 1
    assert json.loads((folder / "metrics.json").read_text())["processes"] == 2
    failed = run("--as", "wild", *(part for setting in wild for part in ("--set", setting)))
    assert failed.returncode == 1
    assert failed.stderr.count("is not finite") == 1
    assert "Traceback" not in failed.stderr


def test_another_study_is_named(nas: Nas, finished: Finished) -> None:
    outcome = nas("retrain", "litle", "--results", finished.results)
    assert outcome.code == 2
    assert "did you mean 'little'" in outcome.err


def test_a_retrained_network_teaches(nas: Nas, small: Path, tmp_path: Path) -> None:
    base = ("retrain", "mine", "--arch", small, "--data", "digits", "--results", tmp_path, "--seeds", 1, *QUICK)
    assert nas(*base, "--as", "alone").code == 0
    teacher = tmp_path / "mine" / "retrain" / SMALL.arch_id / "alone" / "0"
    for label, views in (("taught", 0), ("viewed", 2)):
        taught = nas(*base, "--as", label, "--teacher", teacher, "--set", f"distillation.views={views}")
        assert taught.code == 0, taught.err
        folder = tmp_path / "mine" / "retrain" / SMALL.arch_id / label / "0"
        assert json.loads((folder / "metrics.json").read_text())["teacher"] == str(teacher)
    other = nas(*base, "--as", "taught")
    assert other.code == 2
    assert "begun with another recipe: teacher was" in other.err


def test_a_process_that_is_killed_goes_on_with_the_same_command(small: Path, tmp_path: Path) -> None:
    def command(results: str) -> list[str]:
        given = ["--arch", str(small), "--data", "digits", "--results", str(tmp_path / results), "--seeds", "1"]
        return [sys.executable, "-m", "nas", "retrain", "mine", *given, "--set", "epochs=12", "--save-steps", "5"]

    killed, through = (begin(tmp_path / results / "mine", "epochs=12") for results in ("killed", "through"))
    process = subprocess.Popen(command("killed"), stderr=subprocess.PIPE)
    ends = time.monotonic() + 60
    while not list(killed.glob("checkpoints/*")) and time.monotonic() < ends:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (killed / "metrics.json").exists()
    for results in ("killed", "through"):
        subprocess.run(command(results), check=True, capture_output=True)
    assert (killed / "model.safetensors").read_bytes() == (through / "model.safetensors").read_bytes()
