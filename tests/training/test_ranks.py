"""Several processes train as one does with the same batches, and all of them come to the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from nas.architecture import Architecture, Stage, Stem
from nas.blocks import Block
from nas.training.ranks import Ranks, SynchronisedNorm, synchronise_norms

BLOCK = Block(family="inverted", expansion=2)
NETWORK = Architecture(
    stem=Stem(width=8, stride=1),
    stages=(Stage(width=8, blocks=(BLOCK,)), Stage(width=16, stride=2, blocks=(BLOCK,))),
)
RECIPE: dict[str, Any] = {
    "batch_size": 30,  # 160 images are five batches and ten images that sit out; 30 are 10 for each of three
    "optimizer": "sgd",
    "learning_rate": 0.05,
    "synchronised_norm": True,
    "ema_decay": 0.8,
    "crop_padding": 1,
    "colour_jitter": 0.2,
    "mirror": True,
    "gradient_clip": 0.1,
}


def run(
    folder: Path, processes: int, *, epochs: int = 1, killed_after: int = 0, keep: bool = False, **recipe: Any
) -> int:
    folder.mkdir(exist_ok=True)
    asked = {"architecture": NETWORK.model_dump(mode="json"), "recipe": RECIPE | recipe, "epochs": epochs}
    (folder / "asked.json").write_text(json.dumps(asked | {"killed_after": killed_after, "keep": keep}))
    script = [str(Path(__file__).parent / "ranked.py"), str(folder)]
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(several if processes > 1 else []), *script]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment(root))
    assert killed_after or done.returncode == 0, done.stderr
    return done.returncode


def _environment(root: str) -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}


def epochs_of(folder: Path, rank: int = 0) -> list[dict[str, float]]:
    found: list[dict[str, float]] = json.loads((folder / f"epochs-{rank}.json").read_text())
    return found


def weights_of(folder: Path, rank: int = 0) -> dict[str, Tensor]:
    found: dict[str, Tensor] = load_file(folder / f"{rank}.safetensors")
    return found


def differences(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    return max((ours[name].double() - theirs[name].double()).abs().max().item() for name in theirs)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give what one process came to in an epoch."""
    folder = tmp_path_factory.mktemp("alone")
    run(folder, 1)
    return folder


@pytest.mark.parametrize("processes", [2, 4])  # four shares of 30 images are 8, 8, 7 and 7
def test_processes_come_to_what_one_comes_to(alone: Path, tmp_path: Path, processes: int) -> None:
    run(tmp_path / "several", processes)
    ours, theirs = epochs_of(tmp_path / "several"), epochs_of(alone)
    assert ours[0]["train_loss"] == pytest.approx(theirs[0]["train_loss"], abs=1e-5)
    assert ours[0]["val_loss"] == pytest.approx(theirs[0]["val_loss"], abs=1e-4)
    assert differences(weights_of(tmp_path / "several"), weights_of(alone)) < 1e-4
    for rank in range(1, processes):
        assert epochs_of(tmp_path / "several", rank) == ours
        assert differences(weights_of(tmp_path / "several", rank), weights_of(tmp_path / "several")) == 0


def test_without_synchronised_norms_all_still_agree(alone: Path, tmp_path: Path) -> None:
    run(tmp_path / "own", 2, synchronised_norm=False, accumulation=2)
    assert epochs_of(tmp_path / "own", 1) == epochs_of(tmp_path / "own")
    assert differences(weights_of(tmp_path / "own", 1), weights_of(tmp_path / "own")) == 0
    assert differences(weights_of(tmp_path / "own"), weights_of(alone)) > 1e-4


def test_a_training_goes_on_in_another_number_of_processes(tmp_path: Path) -> None:
    run(tmp_path / "through", 1, epochs=2)
    assert run(tmp_path / "changed", 2, epochs=2, killed_after=1, keep=True) != 0
    run(tmp_path / "changed", 1, epochs=2, keep=True)
    ours, theirs = epochs_of(tmp_path / "changed"), epochs_of(tmp_path / "through")
    assert [e["train_loss"] for e in ours] == pytest.approx([e["train_loss"] for e in theirs], abs=1e-4)


def test_shares_are_even_in_order_and_whole() -> None:
    shares = [Ranks(rank, 4).share(30) for rank in range(4)]
    assert [share.stop - share.start for share in shares] == [8, 8, 7, 7]
    assert [i for share in shares for i in range(30)[share]] == list(range(30))


def test_norms_become_synchronised_ones_with_the_same_names_and_values() -> None:
    network = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Sequential(nn.BatchNorm2d(4)))
    network(torch.randn(8, 2, 3, 3, generator=torch.Generator().manual_seed(0)))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    synchronise_norms(network)
    assert isinstance(network[1][0], SynchronisedNorm)
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
