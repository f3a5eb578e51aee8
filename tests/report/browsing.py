"""For tests of `nas browse`: studies as a search leaves them, and the server on a free port."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.budget import Budget
from nas.records import Epoch, Fidelity, Measurement, Plan, Recipe, StudyConfig
from nas.report.browse.server import serve
from nas.report.browse.sessions import Sessions
from nas.search.books import Job
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from nas.space_file import load_space
from nas.value import FrozenMap


def make_study(database: Path, name: str = "tiny", **more: Any) -> Study:
    """Make a study of the digits space without trials; what else is given overrides its configuration."""
    space = load_space("digits")
    given: dict[str, Any] = {
        "name": name,
        "space_name": space.name,
        "space_text": space.text,
        "target": space.target,
        "budget": Budget(params=15_000),
        "data": "digits",
        "data_fingerprint": "0" * 12,
        "validation_fraction": 0.2,
        "objectives": ("val_accuracy", "params", "interference"),
        "fidelities": (Fidelity(epochs=1, resolution=8), Fidelity(epochs=2, resolution=8)),
        "recipe": Recipe(),
        "plan": Plan(),
        "sampler": "random",
        "seed": 0,
    }
    return Study.create(open_storage(sqlite_url(database), create=True), StudyConfig(**(given | more)), 100)


def measurement(job: Job) -> Measurement:
    """Return what a training of a job might have given: larger networks are better, and a little noise."""
    noise = math.sin(997 * job.candidate.number + job.rung)
    accuracy = 0.1 * math.log10(job.candidate.cost.params) + 0.4 + 0.05 * noise + 0.05 * job.rung
    epochs = tuple(Epoch(train_loss=1 - 0.1 * i, seconds=1.0) for i in range(job.fidelity.epochs - 1))
    last = Epoch(train_loss=0.5, seconds=1.0, val_loss=0.4, val_accuracy=accuracy)
    metrics = {"val_accuracy": accuracy, "val_loss": 0.4, "interference": 0.2 + 0.1 * noise, "cross_talk": 0.1}
    given = {"seed": job.seed, "epochs": (*epochs, last), "metrics": FrozenMap(metrics), "train_seconds": 2.0}
    return Measurement(fidelity=job.fidelity, **given)


def run(study: Study, jobs: int) -> None:
    """Do so many jobs of a study."""
    for _ in range(jobs):
        job = study.claim(lambda _: None)
        assert job is not None
        study.finish(job, measurement(job))


@contextmanager
def serving(results: Path, storage: str | None = None, token: str | None = None) -> Iterator[str]:
    """Serve while inside; give the address."""
    server = serve(Sessions(results, storage, frozenset({"show", "enqueue"})), "127.0.0.1", 0, token)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
