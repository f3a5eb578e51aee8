"""One of several processes that train a small network on digits: what it came to, as JSON. Run by `test_ranks.py`."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from nas.architecture import Architecture
from nas.data.load import load_dataset
from nas.data.spec import DataSpec
from nas.data.split import fixed_batch
from nas.records import Fidelity, Plan, Recipe
from nas.training.checkpoint import Checkpoints
from nas.training.ranks import Ranks, joined
from nas.training.stages import StagedTraining


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    asked = json.loads((folder / "asked.json").read_text())
    data = load_dataset(DataSpec(kind="digits"), seed=0)
    few = replace(data, train=fixed_batch(data.train, 160, seed=0), validation=fixed_batch(data.validation, 80, seed=0))
    with joined("cpu") as ranks:
        training = StagedTraining(
            Architecture.model_validate(asked["architecture"]),
            few,
            Recipe(**asked["recipe"]),
            (Fidelity(epochs=asked["epochs"], resolution=8),),
            Plan(),
            seed=3,
            evaluate_every=1,
            ranks=ranks,
        )
        found = training.run(
            Checkpoints(folder / "checkpoints" if asked["keep"] else None, seconds_at_risk=0),
            lambda progress: sys.exit(9) if progress.epoch == asked["killed_after"] else None,
        )
        _write(folder, ranks, [epoch.model_dump(exclude={"seconds"}) for epoch in found.epochs], found.last.network)


def _write(folder: Path, ranks: Ranks, epochs: list[dict[str, object]], network: torch.nn.Module) -> None:
    (folder / f"epochs-{ranks.rank}.json").write_text(json.dumps(epochs))
    save_file(
        {n: t.clone().contiguous() for n, t in network.state_dict().items()}, folder / f"{ranks.rank}.safetensors"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
