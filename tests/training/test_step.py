"""One step: what it does to a network, in parts or whole, one by one or replayed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from nas.architecture import Architecture, Stage, Stem
from nas.blocks import Block
from nas.data.images import Dataset
from nas.network.build import build
from nas.records import Fidelity, Plan, Recipe
from nas.training import graph
from nas.training.graph import WARM_UP, GraphedStep, free_memory, own_stream
from nas.training.loop import train
from nas.training.once import Once
from nas.training.step import Step
from tests.training.conftest import DIGITS, Build

STEPS = 8


def batch_norm_free() -> Architecture:
    block = Block(family="inverted", expansion=2, norm="layer")
    stage = Stage(width=8, stride=2, blocks=(block,))
    return Architecture(stem=Stem(width=8, stride=1, norm="layer"), stages=(stage,))


def batches(count: int = STEPS) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(12, 1, 8, 8, generator=generator), torch.randint(10, (12,), generator=generator))
        for _ in range(count)
    ]


def step_of(architecture: Architecture, recipe: Recipe = Recipe(), **more: Any) -> Step:  # noqa: B008
    return Step(build(architecture, DIGITS), recipe, Plan(), **{"steps": STEPS, "seed": 0} | more)


def test_parts_of_a_batch_add_up_to_it() -> None:
    whole, parts = (step_of(batch_norm_free(), parts=parts) for parts in (1, 2))
    for batch in batches():
        whole(*batch)
        parts(*batch)
    assert torch.allclose(whole.losses, parts.losses, atol=1e-4)
    assert (whole.losses > 0).all()


def test_a_batch_norm_sees_its_part_alone(small: Architecture) -> None:
    whole, parts = (step_of(small, parts=parts) for parts in (1, 2))
    for batch in batches(1):
        whole(*batch)
        parts(*batch)
    assert not torch.equal(whole.losses, parts.losses)
    counters = [step.network.state_dict()["stem.norm.num_batches_tracked"].item() for step in (whole, parts)]
    assert counters == [1, 2]


def test_a_step_uses_the_rate_of_its_turn(small: Architecture) -> None:
    step = step_of(small)
    used = list[float]()
    for batch in batches():
        step(*batch)
        used.append(step._optimizer.param_groups[1]["lr"].item())
    assert used == step.rates.tolist()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_step_is_what_torch_s_own_optimizer_makes(optimizer: str) -> None:
    recipe = Recipe(optimizer=optimizer, warmup_fraction=0.0, weight_decay=0.1, learning_rate=1e-2)
    step, plain = step_of(batch_norm_free(), recipe), build(batch_norm_free(), DIGITS).train()
    weights = [p for p in plain.parameters() if p.ndim >= 2]
    others = [p for p in plain.parameters() if p.ndim < 2]
    groups = [{"params": weights, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    made = (
        torch.optim.AdamW(groups, lr=1e-2)
        if optimizer == "adamw"
        else torch.optim.SGD(groups, lr=1e-2, momentum=0.9, nesterov=True)
    )
    for number, (images, labels) in enumerate(batches()):
        step(images, labels)
        for group in made.param_groups:
            group["lr"] = 1e-2 * min(1.0, (STEPS - number) / (STEPS - 1))
        torch.nn.functional.cross_entropy(plain(images), labels, label_smoothing=0.1).backward()
        made.step()
        made.zero_grad()
    ours, theirs = step.network.state_dict(), plain.state_dict()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in theirs)


Replayed = Callable[[], None]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor]]:
    """Stand in for a GPU that captures: a replay runs the step on what the captured tensors hold."""
    captured = list[tuple[Tensor, Tensor]]()

    def capture(step: Step, inputs: Tensor, labels: Tensor) -> Replayed:
        captured.append((inputs, labels))
        return lambda: step(inputs, labels)

    monkeypatch.setattr(graph, "capture", capture)
    return captured


def test_replayed_steps_are_the_steps(small: Architecture, recorded: list[tuple[Tensor, Tensor]]) -> None:
    plain, inner = step_of(small), step_of(small)
    replayed = GraphedStep(inner, pytest.fail)
    for batch in batches():
        plain(*batch)
        replayed(*batch)
    assert torch.equal(plain.losses, inner.losses)
    assert len(recorded) == 1
    assert torch.equal(recorded[0][0], batches()[-1][0])


def test_the_first_steps_are_not_captured(small: Architecture, recorded: list[tuple[Tensor, Tensor]]) -> None:
    replayed = GraphedStep(step_of(small), pytest.fail)
    for batch in batches(WARM_UP):
        replayed(*batch)
    assert recorded == []


def test_where_capture_fails_steps_are_launched(small: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Replayed:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(graph, "capture", fail)
    lines = list[str]()
    plain, inner = step_of(small), step_of(small)
    replayed = GraphedStep(inner, lines.append)
    for batch in batches():
        plain(*batch)
        replayed(*batch)
    assert torch.equal(plain.losses, inner.losses)
    (line,) = lines
    assert line.endswith("operation not permitted when stream is capturing")


def test_a_capture_without_memory_is_no_lack_of_graphs(small: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> Replayed:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(graph, "capture", no_memory)
    replayed = GraphedStep(step_of(small), pytest.fail)
    for batch in batches(WARM_UP):
        replayed(*batch)
    with pytest.raises(torch.OutOfMemoryError):
        replayed(*batch)


def test_a_cpu_has_no_streams_and_nothing_to_free() -> None:
    with own_stream("cpu"):
        free_memory("cpu")


@pytest.fixture
def one_core() -> Iterator[None]:
    """Let threads that are started compute on one core, as a plan would have it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_core")
def test_trainings_in_threads_give_the_bits_of_one_alone(few: Dataset, make: Build) -> None:
    recipe = Recipe(batch_size=16, drop_path=0.2, ema_decay=0.5)
    fidelity = Fidelity(epochs=2, resolution=8)

    def losses(seed: int) -> list[float]:
        made = train(make(seed), few, recipe, fidelity, Plan(), seed=seed)
        return [epoch.train_loss for epoch in made.epochs]

    alone = {seed: losses(seed) for seed in range(3)}
    together = dict[int, list[float]]()
    threads = [threading.Thread(target=lambda s=s: together.update({s: losses(s)})) for s in alone]
    state = torch.get_rng_state()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone
    assert torch.equal(torch.get_rng_state(), state)


def test_a_line_is_said_once_whatever_it_is_about() -> None:
    lines = list[str]()
    once = Once(lines.append)
    for line in ("full: a", "full: b", "slow: a", "slow"):
        once(line)
    assert lines == ["full: a", "slow: a"]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_captured_step_is_the_step(small: Architecture, precision: str) -> None:
    plan = Plan(device="cuda", precision=precision, channels_last=True)
    recipe = Recipe(ema_decay=0.9, drop_path=0.1)
    with own_stream("cuda"):
        plain, inner = (Step(build(small, DIGITS), recipe, plan, steps=STEPS, seed=0) for _ in range(2))
        replayed = GraphedStep(inner, pytest.fail)
        for images, labels in batches():
            for step in (plain, replayed):
                step(images.cuda(), labels.cuda())
        assert torch.allclose(plain.losses, inner.losses, rtol=1e-3 if precision == "float32" else 0.05)
        assert replayed._replay is not None


@pytest.mark.gpu
def test_trainings_share_a_gpu(few: Dataset, make: Build) -> None:
    plan = Plan(device="cuda:0", precision="bfloat16", channels_last=True, cuda_graphs=True)
    ended = list[str | None]()

    def fit(seed: int) -> None:
        made = train(make(seed), few, Recipe(batch_size=16), Fidelity(epochs=3, resolution=8), plan, seed=seed)
        ended.append(made.ended)

    threads = [threading.Thread(target=fit, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [None] * 4
