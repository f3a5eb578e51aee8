"""A training that is killed and resumed, after every epoch or at any instant, is one that ran through, to the bit."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nas.architecture import Architecture, Stage, Stem
from nas.blocks import Block
from nas.data.images import Dataset
from nas.records import Epoch, Fidelity, Plan, Recipe, Suppression
from nas.training import loop, stages
from nas.training.checkpoint import Checkpoint, Checkpoints
from nas.training.loop import Progress, train
from nas.training.stages import Staged, StagedTraining
from nas.training.step import Step

LADDER = (Fidelity(epochs=2, train_fraction=0.5, resolution=8), Fidelity(epochs=5, resolution=8))
PLAIN = Recipe(batch_size=16, crop_padding=1, mirror=True)
BLOCK = Block(family="inverted", expansion=2)
NETWORK = Architecture(stem=Stem(width=8, stride=1), stages=(Stage(width=8, blocks=(BLOCK, BLOCK)),))

HOW: dict[str, dict[str, Any]] = {
    "adamw": {},
    "sgd": {"recipe": PLAIN.model_copy(update={"optimizer": "sgd", "learning_rate": 0.1})},
    "sgd without momentum": {
        "recipe": PLAIN.model_copy(update={"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0})
    },
    "averaged": {"recipe": PLAIN.model_copy(update={"ema_decay": 0.8})},
    "all that is drawn": {
        "recipe": PLAIN.model_copy(update={"drop_path": 0.3, "cutout": 3, "colour_jitter": 0.3, "label_smoothing": 0.1})
    },
    "alternating": {"recipe": PLAIN.model_copy(update={"alternate_mirror": True})},
    "suppressed": {"recipe": PLAIN.model_copy(update={"suppression": Suppression(strength=3), "drop_path": 0.2})},
    "suppressed to a target": {
        "recipe": PLAIN.model_copy(
            update={"suppression": Suppression(target=0.02, interference="full", layers="all"), "ema_decay": 0.5}
        )
    },
    "bfloat16": {"plan": Plan(precision="bfloat16", channels_last=True)},
    "halved": {"halved_from": 1},
    "halved within a stage": {"halved_from": 3},
}


class Killed(BaseException):
    """What no training catches."""


def kill(_: Progress) -> None:
    raise Killed


def training(data: Dataset, **how: Any) -> StagedTraining:
    return StagedTraining(NETWORK, data, **{"recipe": PLAIN, "rungs": LADDER, "plan": Plan(), "seed": 3} | how)


def timeless(epochs: tuple[Epoch, ...]) -> list[Epoch]:
    return [epoch.model_copy(update={"seconds": 0}) for epoch in epochs]


def assert_same(first: Staged, second: Staged) -> None:
    """Compare epochs, losses, weights, what the optimizer and all else came to, and what is said of it."""
    assert timeless(first.epochs) == timeless(second.epochs)
    assert (first.last.train_loss_ema, first.last.suppression) == (second.last.train_loss_ema, second.last.suppression)
    ours, theirs = first.last.network.state_dict(), second.last.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert first.last.state.keys() == second.last.state.keys()
    for name, tensor in first.last.state.items():
        assert name == "seconds" or torch.equal(tensor, second.last.state[name]), name
    assert (first.continued_from, first.halved_from) == (second.continued_from, second.halved_from)


@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
def test_a_training_resumed_after_every_epoch_is_one_that_ran_through(
    few: Dataset, tmp_path: Path, how: dict[str, Any]
) -> None:
    through = training(few, **how).run(Checkpoints(None))
    store = Checkpoints(tmp_path, pytest.fail, seconds_at_risk=0)
    for epochs in range(1, LADDER[-1].epochs + 1):
        heard = list[Progress]()
        with pytest.raises(Killed):
            training(few, **how).run(store, lambda progress, heard=heard: [heard.append(progress), kill(progress)])
        assert [progress.epoch for progress in heard] == [epochs]
    assert_same(training(few, **how).run(store, pytest.fail), through)


def test_a_training_that_draws_from_the_process_resumes_as_well(few: Dataset) -> None:
    fidelity, drawn = LADDER[1], list[float]()

    def once(stage: loop.Stage) -> loop.Training:
        network = training(few).build(fidelity)
        network.register_forward_pre_hook(lambda *_: drawn.append(torch.rand(()).item()))
        return train(network, few, PLAIN, fidelity, Plan(), seed=3, stage=stage)

    kept = list[tuple[tuple[Epoch, ...], dict[str, torch.Tensor]]]()
    once(loop.Stage(keep=lambda epochs, state: kept.append((epochs, state()))))
    whole, half = len(drawn), kept[2]
    once(loop.Stage(done=half[0], state=half[1]))
    rest = drawn[whole:]
    assert len(set(drawn[:whole])) == whole
    assert rest == drawn[whole - len(rest) : whole]


def test_what_was_trained_but_not_written_down_is_not_trained_again(few: Dataset, tmp_path: Path) -> None:
    lower = training(few, rungs=LADDER[:1])
    first = lower.run(Checkpoints(tmp_path), goes_on=True)
    again = lower.run(Checkpoints(tmp_path), pytest.fail, goes_on=True)
    assert_same(again, first)
    assert again.seconds >= first.seconds - 0.1


def test_a_resumed_training_says_what_one_that_ran_through_says(few: Dataset, tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, seconds_at_risk=0)
    training(few, rungs=LADDER[:1]).run(store, goes_on=True)
    for _ in range(2):
        with pytest.raises(Killed):
            training(few).run(store, kill)
    made = training(few).run(store)
    assert (made.continued_from, len(made.epochs)) == (2, 5)
    assert made.seconds >= sum(epoch.seconds for epoch in made.epochs[2:])
    assert made.last.images_per_second > 0


def test_halves_begin_where_a_training_is_taken_up_again(few: Dataset, tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, seconds_at_risk=0)
    for _ in range(3):
        with pytest.raises(Killed):
            training(few).run(store, kill)
    with pytest.raises(Killed):
        training(few, in_halves=True).run(store, kill)
    made = training(few).run(store)  # once in halves, always
    assert made.halved_from == 3
    assert_same(made, training(few, halved_from=3).run(Checkpoints(None)))
    assert timeless(made.epochs) != timeless(training(few).run(Checkpoints(None)).epochs)


def test_where_epochs_are_short_few_are_kept(few: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, now = list[int](), [0.0]
    monkeypatch.setattr(stages, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    rungs = (Fidelity(epochs=12, train_fraction=0.2, resolution=8), Fidelity(epochs=13, resolution=8))

    def kept_by(seconds_at_risk: float) -> list[int]:
        store = Checkpoints(tmp_path / str(seconds_at_risk), pytest.fail, seconds_at_risk=seconds_at_risk)
        monkeypatch.setattr(store, "save", lambda made: kept.append(len(made.reached.epochs)))
        kept.clear()
        training(few, rungs=rungs).run(store, lambda _: now.__setitem__(0, now[0] + 1))  # a second for each epoch
        return list(kept)

    assert kept_by(0) == list(range(1, 14))
    assert kept_by(2.5) == [4, 7, 10, 12]
    assert kept_by(3600) == [12]


def strange(found: Checkpoint) -> Checkpoint:
    """Return a checkpoint, whole and of this name, whose tensors are those of another network."""
    state = {name: value[..., :1].clone() if value.ndim else value for name, value in found.state.items()}
    return Checkpoint(found.reached, state)


def lacking(found: Checkpoint) -> Checkpoint:
    return Checkpoint(found.reached, {name: v for name, v in found.state.items() if name.startswith("network.")})


def ahead(found: Checkpoint) -> Checkpoint:
    return Checkpoint(found.reached.model_copy(update={"epochs": found.reached.epochs[:3]}), found.state)


@pytest.mark.parametrize("change", [strange, lacking, ahead])
def test_a_state_that_does_not_fit_is_ignored_and_said(
    few: Dataset, tmp_path: Path, change: Callable[[Checkpoint], Checkpoint]
) -> None:
    lines = list[str]()
    store = Checkpoints(tmp_path, lines.append, seconds_at_risk=0)
    killed_at = iter([False, False, False, True])

    def at_last(_: Progress) -> None:
        if next(killed_at):
            raise Killed

    with pytest.raises(Killed):
        training(few).run(store, at_last)
    found = store.load(training(few).identity)
    assert found is not None
    store.save(change(found))
    assert_same(training(few).run(store), training(few).run(Checkpoints(None)))
    assert [line.partition(":")[0] for line in lines] == ["a checkpoint is ignored, and what it holds trained again"]


def test_what_a_step_resumes_from_is_a_copy(few: Dataset) -> None:
    step = Step(training(few).build(LADDER[0]), PLAIN, Plan(), steps=2, seed=0)
    before = step.state()
    step(torch.zeros(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64))
    assert int(before["steps.at"]) == 0
    assert int(step.state()["steps.at"]) == 1
    assert not any(
        torch.equal(before[name], step.network.state_dict()[name[8:]]) for name in ["network.stem.conv.weight"]
    )


SCRIPT = """
import sys
from pathlib import Path
from types import SimpleNamespace
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.training.checkpoint import Checkpoints
from tests.training.test_resume import ENDLESS, training
digits = load_dataset(DataSpec(kind="digits"), seed=0)
training(digits, rungs=ENDLESS).run(Checkpoints(Path(sys.argv[1]), seconds_at_risk=0))
"""
ENDLESS = (
    Fidelity(epochs=2, train_fraction=0.2, resolution=8),
    Fidelity(epochs=1000, train_fraction=0.1, resolution=8),
)


def test_a_process_killed_at_any_instant_leaves_a_whole_checkpoint(digits: Dataset, tmp_path: Path) -> None:
    """Written some hundred times a second, it is being written at most of these instants."""
    store, identity = Checkpoints(tmp_path, pytest.fail), training(digits, rungs=ENDLESS).identity
    with subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)]) as process:
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                if (found := store.load(identity)) is not None and len(found.reached.epochs) >= 5:
                    break
                time.sleep(0.05)
        finally:
            process.send_signal(signal.SIGKILL)
    found = store.load(identity)
    assert found is not None
    reached = len(found.reached.epochs)
    assert 5 <= reached < 1000
    through = training(digits, rungs=ENDLESS)
    heard = list[Epoch]()

    def until(progress: Progress) -> None:
        heard.append(progress.last)
        if len(heard) == reached:
            raise Killed

    with pytest.raises(Killed):
        through.run(Checkpoints(None), until)
    assert timeless(tuple(heard)) == timeless(found.reached.epochs)
