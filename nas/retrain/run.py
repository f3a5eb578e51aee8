"""One network retrained from one seed: trained, its best epoch chosen, judged once on the test split, and kept."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from torch import nn

from nas.data.augment import Normaliser
from nas.data.images import Images
from nas.errors import InputError, NasError
from nas.model_folder import ModelFolder
from nas.network.blur import set_blur_pool
from nas.network.build import Network, build
from nas.network.folder import save_model
from nas.records import Epoch, Plan
from nas.results import environment, write_whole
from nas.retrain.answers import answers
from nas.retrain.best import Best, Chosen
from nas.retrain.card import model_card, with_seeds
from nas.retrain.job import Begun, Job
from nas.retrained import retrained
from nas.training.checkpoint import Checkpoints
from nas.training.feed import judging_images
from nas.training.loop import Progress
from nas.training.ranks import ALONE, Ranks
from nas.training.score import Scores, score
from nas.training.stages import Staged, StagedTraining
from nas.training.step import place

BEST, CHECKPOINTS = "best.safetensors", "checkpoints"
MINUTES = 10.0
"""Of training that a kill costs at most."""


class DivergedError(NasError):
    """A training whose loss is no longer finite; all processes that share it find that out."""


@dataclass(frozen=True)
class How:
    """How trainings run here: the plan, the processes that share them, when to save, and who hears of what."""

    plan: Plan
    ranks: Ranks = ALONE
    save_steps: int | None = None
    save_seconds: float = 60 * MINUTES
    tell: Callable[[str], None] = lambda _: None
    on_epoch: Callable[[Progress], None] = lambda _: None
    on_steps: Callable[[int, int], None] = lambda *_: None


@dataclass(frozen=True)
class Outcome:
    """What retraining from a seed came to: the folder, and what was measured on the test split."""

    folder: Path
    seed: int
    test: Scores
    chosen: int
    seconds: float = field(default=0.0)


def is_done(job: Job, seed: int) -> bool:
    """Return whether a seed of a job was retrained; InputError where another training was begun in its folder."""
    folder = job.folder(seed)
    begun = Begun.read(folder)
    if begun is not None:
        begun.check(job.begun(begun.plan), folder)
    return ModelFolder(folder).metrics.is_file()


def settled(job: Job, seed: int, device: str, choose: Callable[[], Plan], ranks: Ranks = ALONE) -> Plan:
    """Return the plan that a seed is trained by, on `device`: the one it was begun with, else what `choose` gives.

    The first process chooses, and writes down what is begun. InputError where another training was.
    """
    folder = job.folder(seed)
    is_done(job, seed)
    ranks.wait()  # until all have looked
    if ranks.is_first and Begun.read(folder) is None:
        job.begun(choose(), ranks.world).write(folder)
    ranks.wait()
    begun = Begun.read(folder)
    if begun is None:
        raise NasError(f"{folder}: is not seen by all processes")
    kinds = [each.partition(":")[0] for each in (begun.plan.device, device)]
    if kinds[0] != kinds[1]:
        raise InputError(f"{folder}: begun on {kinds[0]}, goes on there alone: --device {kinds[0]}, got {device}")
    return begun.plan.model_copy(update={"device": device})


def retrain(job: Job, seed: int, how: How) -> Outcome | None:
    """Retrain a network from a seed, on from where it stands; return what it came to, None but in the first process.

    DivergedError where the loss is no longer finite: what was saved last stays.
    """
    folder, ranks = job.folder(seed), how.ranks
    best = Best(folder / BEST)
    training = _training(job, seed, how, best)
    store = Checkpoints(folder / CHECKPOINTS, how.tell, sys.maxsize)
    staged = training.run(store, how.on_epoch)
    if staged.last.diverged:
        raise DivergedError(_diverged(job, seed, staged, folder))
    if not ranks.is_first:
        return None
    return _finished(job, seed, how, staged, best)


def _training(job: Job, seed: int, how: How, best: Best) -> StagedTraining:
    def on_evaluated(network: nn.Module, epoch: Epoch, number: int) -> None:
        if not how.ranks.is_first:
            return
        try:
            best.offer(network, epoch, number)
        except OSError as error:
            raise NasError(f"{best.path}: cannot be written: {error.strerror or error}") from None

    return StagedTraining(
        architecture=job.architecture,
        data=job.source.data,
        recipe=job.recipe,
        rungs=(job.fidelity,),
        plan=how.plan,
        seed=seed,
        tell=how.tell,
        evaluate_every=1,
        save_steps=how.save_steps,
        save_seconds=how.save_seconds,
        on_evaluated=on_evaluated,
        on_steps=how.on_steps,
        teacher=answers(job, how.plan.device, how.ranks, how.tell),
        ranks=how.ranks,
    )


def _finished(job: Job, seed: int, how: How, staged: Staged, best: Best) -> Outcome:
    """Judge the best epoch, write the model, and drop what was only there to go on from."""
    folder, chosen = job.folder(seed), best.chosen
    if chosen is None:
        raise NasError(f"{best.path}: is gone; remove {folder} to begin anew")
    network = _network(job, seed, best, how.plan)
    normaliser = Normaliser(job.task.mean, job.task.std)
    held_out = score(network, judging_images(job.recipe, job.source.data, job.fidelity), normaliser, job.task.classes)
    test = score(network, _test_images(job), normaliser, job.task.classes)
    found = retrained(job.study).get(job.architecture.arch_id, ())
    top1 = {each.seed: each.top1 for each in found if each.recipe == job.label} | {seed: test.top1}
    averaged = network if job.recipe.ema_decay else None
    try:
        write_whole(ModelFolder(folder).card, model_card(job, seed, test, chosen.epoch, top1))
        save_model(folder, network, job.architecture, job.task, averaged=averaged, recipe=job.named.toml())
        content = _metrics(job, seed, how, staged, chosen, {"validation": held_out, "test": test})
        write_whole(ModelFolder(folder).metrics, json.dumps(content, indent=1, allow_nan=False) + "\n")
        for card in (ModelFolder(job.folder(other)).card for other in top1.keys() - {seed}):
            if card.is_file():
                write_whole(card, with_seeds(card.read_text(encoding="utf-8"), top1))
    except OSError as error:
        raise NasError(f"{folder}: cannot be written: {error.strerror or error}") from None
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    best.path.unlink(missing_ok=True)
    return Outcome(folder, seed, test, chosen.epoch, staged.seconds)


def _network(job: Job, seed: int, best: Best, plan: Plan) -> Network:
    """Return the network with the weights of the best epoch."""
    network = build(job.architecture, job.task.task, seed=seed)
    best.load(network)
    if job.recipe.blur_pool:
        set_blur_pool(network)
    place(network, plan).eval()
    return network


def _test_images(job: Job) -> Images:
    images = job.source.read_test(job.judged_side)
    own, wanted = images.pixels.shape[1], len(job.task.mean)
    if own != wanted or int(images.labels.max()) >= len(job.task.classes):
        raise InputError(f"the test split of {job.source.spec}: its channels or classes are not those of train")
    return images


def _metrics(
    job: Job, seed: int, how: How, staged: Staged, chosen: Chosen, scores: Mapping[str, Scores]
) -> dict[str, object]:
    """Return all that was measured."""
    return {
        "title": job.title,
        "arch_id": job.architecture.arch_id,
        "recipe": job.named.name,
        "seed": seed,
        "data": str(job.source.spec),
        "fingerprint": job.source.data.fingerprint,
        "held_out": job.source.held_out,
        "teacher": None if job.teacher is None else job.teacher.name,
        **job.cost.model_dump(),
        "judged_side": job.judged_side,
        "chosen_epoch": chosen.epoch,
        "train_seconds": staged.seconds,
        "images_per_second": staged.last.images_per_second,
        "processes": how.ranks.world,
        "epochs": [epoch.model_dump() for epoch in staged.epochs],
        **{name: asdict(each) for name, each in scores.items()},
        "environment": environment(),
    }


def _diverged(job: Job, seed: int, staged: Staged, folder: Path) -> str:
    at, done = staged.last.diverged_at, len(staged.epochs)
    step = "the loss on what is held out is" if at is None else f"the loss of step {at:,} is"
    kept = f"what was saved last stays in {folder}" if done else "nothing was saved yet"
    return (
        f"{job.title}, seed {seed}: {step} not finite, in epoch {done + 1} of {job.fidelity.epochs}; {kept}; "
        "a lower learning_rate by --set may do, under another name by --as"
    )
