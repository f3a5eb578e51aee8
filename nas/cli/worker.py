"""`nas worker`: one worker of a study, until nothing is left of it."""

from __future__ import annotations

import sys

from nas.cli.progress import outcome, trained
from nas.cli.read import open_study
from nas.search.loop import EpochDone, Event, Exhausted, Finished, TakenOver
from nas.search.request import SearchRequest
from nas.search.setup import join
from nas.search.worker import complete
from nas.search.workers import end_with_parent
from nas.training.plan import describe


def worker_command(request: SearchRequest, *, with_parent: bool) -> None:
    """Work on a study that exists; a line for each epoch, and for each training that ends."""
    if with_parent:
        end_with_parent()
    open_study(request.name, request.results, request.storage)  # a wrong name is told with the names there are
    try:
        worker = join(request, _say)
        plan = worker.plan
        _say(f"working on study {request.name}: {describe(plan)}")
        complete(worker.studies(plan.trials_per_device), worker.evaluator, worker.accept, _tell)
        _say(f"study {request.name}: nothing is left to do for this worker")
    except KeyboardInterrupt:
        _say("stopped. The same command goes on from here.")
        raise


def _tell(event: Event) -> None:
    match event:
        case EpochDone(job, progress):
            where = f"epoch {progress.epoch} of {progress.epochs}, loss {progress.last.train_loss:.3f}"
            _say(f"{trained(job.candidate, job.fidelity)}, seed {job.seed}: {where}")
        case Finished(job, measurement, error):
            _say(f"{trained(job.candidate, job.fidelity)}: {outcome(measurement, error)}")
        case TakenOver(job):
            _say(f"{trained(job.candidate, job.fidelity)}: another worker has it; what this one made of it is dropped")
        case Exhausted(reason):
            _say(f"no new candidates: {reason}")


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
