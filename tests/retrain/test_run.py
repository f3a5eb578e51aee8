"""Retraining: what is written, what is chosen, when the test split is read, and that a kill costs nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nas.data.images import Images
from nas.errors import InputError, NasError
from nas.network.folder import load_model
from nas.records import Plan
from nas.retrain import run
from nas.retrain.job import Begun, Source
from nas.retrain.run import How, is_done, retrain, settled
from nas.retrained import accuracies, retrained
from nas.training.checkpoint import Checkpoint, Checkpoints
from nas.training.loop import Progress
from nas.training.named import find_recipe
from tests.retrain.conftest import PLAIN, SMALL, MakeJob


class Killed(BaseException):
    """What no training catches."""


def train(job: object, seed: int = 0, how: How = PLAIN) -> Path:
    settled(job, seed, "cpu", Plan)  # type: ignore[arg-type]
    outcome = retrain(job, seed, how)  # type: ignore[arg-type]
    assert outcome is not None
    return outcome.folder


def test_a_folder_holds_the_model_and_all_that_was_measured(job: MakeJob) -> None:
    made = job()
    folder = train(made, 1)
    assert folder == made.study / "retrain" / SMALL.arch_id / "tiny" / "1"
    names = {path.name for path in folder.iterdir()}
    assert {
        "model.safetensors",
        "architecture.json",
        "task.json",
        "recipe.toml",
        "metrics.json",
        "MODEL_CARD.md",
    } <= names
    assert not {"checkpoints", "best.safetensors"} & names
    found = json.loads((folder / "metrics.json").read_text())
    assert [len(found["epochs"]), found["recipe"], found["seed"]] == [3, "tiny", 1]
    best = max(found["epochs"], key=lambda epoch: epoch["val_accuracy"])
    assert found["epochs"][found["chosen_epoch"] - 1] == best
    assert found["validation"]["top1"] == pytest.approx(best["val_accuracy"])
    assert {"top1", "top5", "loss", "calibration_error", "classes"} <= set(found["test"])
    assert len(found["test"]["classes"]) == 10
    assert find_recipe(str(folder / "recipe.toml")).recipe == made.named.recipe
    assert f"{100 * found['test']['top1']:.2f} %" in (folder / "MODEL_CARD.md").read_text()


def test_every_card_names_what_all_seeds_came_to(job: MakeJob) -> None:
    made = job("epochs=1")
    folders = [train(made, seed) for seed in (0, 1)]
    top1 = [100 * json.loads((folder / "metrics.json").read_text())["test"]["top1"] for folder in folders]
    line = f"Top-1 by seed: 0: {top1[0]:.2f} %, 1: {top1[1]:.2f} %; mean {sum(top1) / 2:.2f} %."
    assert all(line in (folder / "MODEL_CARD.md").read_text().splitlines() for folder in folders)


def test_what_is_kept_is_what_was_judged(job: MakeJob) -> None:
    made = job("blur_pool=yes", "gradient_clip=0.1")
    folder = train(made)
    model, images = load_model(folder), made.source.read_test(made.judged_side)
    scale = torch.tensor(model.task.mean).view(-1, 1, 1), torch.tensor(model.task.std).view(-1, 1, 1)
    with torch.inference_mode():
        answers = model.network((images.pixels / 255 - scale[0]) / scale[1]).argmax(1)
    accuracy = (answers == images.labels).float().mean().item()
    assert accuracy == pytest.approx(json.loads((folder / "metrics.json").read_text())["test"]["top1"])


def test_the_test_split_is_read_once_and_at_the_end(job: MakeJob, source: Source) -> None:
    events = list[str]()

    def read(side: int) -> Images:
        events.append(f"test at {side}")
        return source.read_test(side)

    watched = job("test_scale=1.5", source=replace(source, read_test=read))
    train(watched, how=replace(PLAIN, on_epoch=lambda progress: events.append(f"epoch {progress.epoch}")))
    assert events == ["epoch 1", "epoch 2", "epoch 3", "test at 12"]


@pytest.mark.parametrize("writes", [1, 2, 3, 5])
def test_a_training_killed_anywhere_gives_the_same_model(
    job: MakeJob, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    class KilledAt(Checkpoints):
        left = writes

        def save(self, checkpoint: Checkpoint) -> None:
            super().save(checkpoint)
            KilledAt.left -= 1
            if not KilledAt.left:
                raise Killed

    often = replace(PLAIN, save_steps=9)
    through = train(job(folder="through"), how=often)
    monkeypatch.setattr(run, "Checkpoints", KilledAt)
    with pytest.raises(Killed):
        train(job(), how=often)
    resumed = train(job(), how=often)
    assert (through / "model.safetensors").read_bytes() == (resumed / "model.safetensors").read_bytes()
    ours, theirs = (json.loads((folder / "metrics.json").read_text()) for folder in (through, resumed))
    assert ours["test"] == theirs["test"]
    assert [epoch["train_loss"] for epoch in ours["epochs"]] == [epoch["train_loss"] for epoch in theirs["epochs"]]


def test_another_recipe_is_refused_with_what_differs(job: MakeJob) -> None:
    def kill(_: Progress) -> None:
        raise Killed

    with pytest.raises(Killed):
        train(job(), how=replace(PLAIN, on_epoch=kill))
    for setting, words in (
        ("epochs=4", "epochs was 3, is 4"),
        ("label_smoothing=0.2", "label_smoothing was 0.1, is 0.2"),
    ):
        with pytest.raises(InputError, match=f"begun with another recipe: {words}"):
            is_done(job(setting), 0)
    assert not is_done(job(), 0)
    with pytest.raises(InputError, match="begun on cpu, goes on there alone: --device cpu, got cuda:0"):
        settled(job(), 0, "cuda:0", Plan)


def test_a_plan_stays_what_a_training_was_begun_with(job: MakeJob) -> None:
    first = settled(job(), 0, "cpu", lambda: Plan(precision="bfloat16"))
    assert settled(job(), 0, "cpu", pytest.fail) == first == Plan(precision="bfloat16")
    begun = Begun.read(job().folder(0))
    assert begun is not None
    assert begun.architecture == SMALL


def test_a_loss_that_is_not_finite_is_one_line_with_its_step(job: MakeJob) -> None:
    # a rate that is finite itself; the weights soon are not
    wild = job("optimizer=sgd", "learning_rate=1e30", "warmup_fraction=0.5")
    with pytest.raises(
        NasError, match=r"a network, seed 0: the loss of step \d+ is not finite, in epoch 1 of 3"
    ) as caught:
        train(wild)
    assert "\n" not in str(caught.value)
    assert not is_done(wild, 0)


def test_images_below_the_stride_are_refused(job: MakeJob) -> None:
    job("ramp.start=0.25", "ramp.multiple=2").check()
    with pytest.raises(InputError, match="a network at 8 px: resolution must be at least the network's stride, 2"):
        job("ramp.start=0.1", "ramp.multiple=1").check()


def test_retrained_networks_are_found_with_their_interval(job: MakeJob) -> None:
    made = job("epochs=1")
    for seed in (0, 1, 2):
        train(made, seed)
    found = retrained(made.study)
    assert [each.seed for each in found[SMALL.arch_id]] == [0, 1, 2]
    accuracy = accuracies(found)[SMALL.arch_id]
    values = [each.top1 for each in found[SMALL.arch_id]]
    assert accuracy.mean == pytest.approx(sum(values) / 3)
    assert accuracy.seeds == 3
    assert accuracy.margin is not None
    assert accuracy.words.endswith("% (tiny, 3 seeds)")
    assert retrained(made.study / "nothing") == {}


def test_weights_are_those_of_the_best_epoch_not_the_last(job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    offered = dict[int, dict[str, torch.Tensor]]()
    offer = run.Best.offer

    def offer_and_note(self: run.Best, network: torch.nn.Module, epoch: object, number: int) -> None:
        offered[number] = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        worse = epoch.model_copy(update={"val_accuracy": 1 / number})  # type: ignore[attr-defined]
        offer(self, network, worse, number)

    monkeypatch.setattr(run.Best, "offer", offer_and_note)
    folder = train(job())
    kept = load_file(folder / "model.safetensors")
    assert all(torch.equal(kept[name], offered[1][name]) for name in kept)
    assert json.loads((folder / "metrics.json").read_text())["chosen_epoch"] == 1
