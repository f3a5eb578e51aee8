"""The golden search: fixed seed, fake evaluator. `python -m tests.search.golden_search` writes what it finds.

Run that only after a change that is meant to change what is proposed or promoted, and say why in the commit.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from nas.search.loop import run
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from tests.core.examples import config
from tests.search.fakes import FakeEvaluator, accept_all

GOLDEN = ("cap", "evolution", "local", "random", "tpe")
"""The samplers that it is kept of: what the others propose hangs on the last digits of somebody's solver."""


def golden_file(sampler: str) -> Path:
    """Return where the front of a sampler is kept."""
    return Path(__file__).parent / "golden" / f"{sampler}.json"


def golden_front(sampler: str, folder: Path) -> list[dict[str, object]]:
    """Return the front of the golden search as JSON."""
    given = config(sampler=sampler, seed=7, objectives=("val_accuracy", "params", "interference"))
    study = Study.create(open_storage(sqlite_url(folder / "golden.db"), create=True), given, 24)
    run(study, FakeEvaluator(), accept_all)
    return [
        {
            "number": record.number,
            "genotype": dict(record.genotype),
            "params": record.cost.params,
            "val_accuracy": record.metrics["val_accuracy"],
            "interference": record.metrics["interference"],
        }
        for record in study.view().front
    ]


if __name__ == "__main__":
    for name in GOLDEN:
        with TemporaryDirectory() as scratch:
            golden_file(name).write_text(
                json.dumps(golden_front(name, Path(scratch)), indent=2) + "\n", encoding="utf-8"
            )
