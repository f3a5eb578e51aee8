"""A candidate that exhausts memory: found by the allocator, or by the kernel, which kills its process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nas.records import Fidelity, Measurement, Plan, Recipe, Status, TrialRecord
from nas.search.evaluator import TrainingEvaluator, out_of_memory
from nas.training.checkpoint import Checkpoints
from nas.value import compact_json
from tests.core.examples import architecture
from tests.search.fakes import small_digits
from tests.search.test_evaluator import candidate, quiet, untimed

LADDER = (Fidelity(epochs=3, resolution=8), Fidelity(epochs=5, resolution=8))

SCRIPT = """
import resource
from pathlib import Path

from nas.architecture import Architecture, Stage, Stem
from nas.blocks import Block
from nas.records import Fidelity, Plan, Recipe
from nas.search.evaluator import TrainingEvaluator
from tests.core.examples import architecture
from tests.search.fakes import small_digits
from tests.search.test_evaluator import candidate, quiet

evaluate = TrainingEvaluator(small_digits(), Recipe(batch_size=128), Plan())
rung, block = Fidelity(epochs=1, resolution=8), Block(family="inverted", expansion=4)
evaluate(candidate(architecture()), rung, 0, quiet)
found = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
data = next(int(each[1]) for each in found if each[0] == "VmData:")
resource.setrlimit(resource.RLIMIT_DATA, (1024 * data + 100 * 2**20,) * 2)
large = Architecture(stem=Stem(width=128, stride=1), stages=(Stage(width=128, blocks=(block,) * 3),))
print(evaluate(candidate(large), rung, 0, quiet).model_dump_json())
print(evaluate(candidate(architecture()), rung, 0, quiet).is_complete)
"""


def test_a_network_too_large_for_the_memory_there_is_ends_as_out_of_memory() -> None:
    """Its activations take 400 MB, of which 100 are allowed; what fits is trained afterwards as before."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120)
    made, is_complete = done.stdout.splitlines()
    record = TrialRecord(**dict(candidate(architecture())), measurements=(Measurement.model_validate_json(made),))
    assert record.status((Fidelity(epochs=1, resolution=8),)) == Status.OUT_OF_MEMORY
    assert is_complete == "True"


@pytest.fixture
def evaluate(tmp_path: Path) -> TrainingEvaluator:
    """Give an evaluator that keeps a checkpoint of every epoch."""
    kept = Checkpoints(tmp_path, pytest.fail, seconds_at_risk=0)
    return TrainingEvaluator(small_digits(), Recipe(batch_size=32), Plan(), ladder=LADDER, checkpoints=kept)


def killed_at(epoch: int) -> Callable[[object], None]:
    heard = list[object]()

    def kill(progress: object) -> None:
        heard.append(progress)
        if len(heard) == epoch:
            raise KeyboardInterrupt

    return kill


def test_halves_go_on_where_a_killed_process_stood(evaluate: TrainingEvaluator) -> None:
    with pytest.raises(KeyboardInterrupt):
        evaluate(candidate(architecture()), LADDER[0], 1, killed_at(2))
    heard = list[int]()
    made = evaluate.halved()(candidate(architecture()), LADDER[0], 1, lambda progress: heard.append(progress.epoch))
    assert (heard, made.halved_from, made.is_complete) == ([3], 2, True)
    alone = replace(evaluate, checkpoints=Checkpoints(None))
    assert untimed(replace(alone, halved_from=2)(candidate(architecture()), LADDER[0], 1, quiet)) == untimed(made)
    assert untimed(alone(candidate(architecture()), LADDER[0], 1, quiet)).metrics != untimed(made).metrics


def test_a_promotion_stays_in_halves(evaluate: TrainingEvaluator) -> None:
    evaluate.halved()(candidate(architecture()), LADDER[0], 1, quiet)
    promoted = evaluate(candidate(architecture()), LADDER[1], 1, quiet)
    assert (promoted.halved_from, promoted.continued_from) == (0, 3)


def test_the_database_remembers_from_where_halves_were_run(evaluate: TrainingEvaluator) -> None:
    made = evaluate.halved()(candidate(architecture()), LADDER[0], 1, quiet)
    text = compact_json(made)
    assert Measurement.of(text, lambda: pytest.fail("read at once")).halved_from == 0


def test_a_training_that_was_killed_twice_has_a_measurement() -> None:
    made = out_of_memory(LADDER[0], 7)
    assert (made.seed, made.stopped, made.is_complete, made.epochs) == (7, "memory", False, ())
