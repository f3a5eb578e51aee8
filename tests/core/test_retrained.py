"""What retrained networks came to: read from their folders, with intervals, and held against the rungs of a study."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.records import TrialRecord
from nas.retrained import accuracies, folder_of, retrained
from nas.trust.noise import seed_noise
from nas.trust.retrained import retrained_trust
from tests.core.examples import HIGH, LOW, architecture, block, config, measurement, record


def write(study: Path, arch_id: str, recipe: str, seed: int, top1: float) -> None:
    folder = folder_of(study, arch_id, recipe, seed)
    folder.mkdir(parents=True)
    test = {"top1": top1, "top5": None, "loss": 1.0, "calibration_error": 0.1}
    (folder / "metrics.json").write_text(json.dumps({"test": test}))


def test_intervals_are_from_the_noise_of_all_networks_of_a_recipe(tmp_path: Path) -> None:
    values = {"a": (0.5, 0.52), "b": (0.6, 0.64), "c": (0.7,)}
    for arch_id, found in values.items():
        for seed, top1 in enumerate(found):
            write(tmp_path, arch_id, "long", seed, top1)
    write(tmp_path, "a", "short", 0, 0.9)
    write(tmp_path, "d", "short", 0, 0.1)
    made, noise = accuracies(retrained(tmp_path)), seed_noise(values.values())
    assert noise is not None
    assert {arch_id: (each.recipe, each.seeds) for arch_id, each in made.items()} == {
        "a": ("long", 2),
        "b": ("long", 2),
        "c": ("long", 1),
        "d": ("short", 1),
    }
    assert made["a"].mean == pytest.approx(0.51)
    assert made["a"].margin == pytest.approx(noise.margin(2))
    assert made["d"].margin is None
    assert made["c"].words.startswith("70.00 \N{PLUS-MINUS SIGN} ")


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "a", "long", 0, 0.5)
    for name, text in (("b", "{"), ("c", "{}"), ("d", '{"test": {"top1": "x"}}')):
        folder = folder_of(tmp_path, name, "long", 0)
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(text)
    assert list(retrained(tmp_path)) == ["a"]


def networks(count: int) -> list[TrialRecord]:
    """Return networks of rising accuracy at the low rung and falling accuracy at the high one."""
    made = []
    for number in range(count):
        rungs = measurement(0.1 + 0.05 * number, LOW, seed=0), measurement(0.9 - 0.05 * number, HIGH, seed=0)
        shape = architecture(*[block()] * (number + 1))
        made.append(record(*rungs, number=number).model_copy(update={"architecture": shape}))
    return made


def test_each_rung_is_held_against_retraining() -> None:
    records = networks(6)
    means = {each.arch_id: 0.5 + 0.01 * each.number for each in records}
    low, high = retrained_trust(config(), records, means)
    assert (low.fidelity, high.fidelity) == (LOW, HIGH)
    assert low.kendall is not None
    assert high.kendall is not None
    assert (low.kendall.value, high.kendall.value) == pytest.approx((1, -1))
    assert low.words.startswith(f"{LOW.epochs} epoch")
    assert "Kendall's tau 1.00" in low.words


def test_four_networks_say_nothing() -> None:
    records = networks(4)
    (low, _) = retrained_trust(config(), records, {each.arch_id: 0.5 + 0.1 * each.number for each in records})
    assert low.kendall is None
    assert "4 retrained, a rank correlation takes 5" in low.words
    assert retrained_trust(config(), records, {"another": 0.5}) == ()
