"""What has to be shown before interference may decide, and what a view makes of it."""

from __future__ import annotations

import math
import random

import pytest

from nas.architecture import Architecture
from nas.budget import Budget
from nas.pareto import objectives
from nas.records import StudyConfig, TrialRecord
from nas.trust import deciding, faithfulness, judge, networks, verdicts
from nas.trust.gate import GATED, NETWORKS, SEEDS
from nas.trust.networks import fullest_bin, size_bin
from nas.view import StudyView
from tests.core.examples import HIGH, LOW, architecture, block, config, diverged, measurement, record

CAP = 10_000


def trained(
    number: int,
    talk: float,
    accuracy: float,
    *,
    seeds: int = SEEDS,
    params: int = 5_000,
    proxy: float = 0.5,
    shape: Architecture | None = None,
) -> TrialRecord:
    """Return a trial with a proxy training and `seeds` trainings at the top rung."""
    first = measurement(proxy, LOW, seed=number, cross_talk=talk, excess_coherence=talk, val_loss=1 - proxy)
    finals = [measurement(accuracy + 0.001 * (i - 1), HIGH, seed=100 + i, cross_talk=talk) for i in range(seeds)]
    made = record(first, *finals, number=number, params=params)
    return made.model_copy(update={"architecture": shape}) if shape else made


def study_of(count: int, *, slope: float = -0.1, noise: float = 0.02, seeds: int = SEEDS) -> list[TrialRecord]:
    """Return networks of one size bin whose accuracy falls with cross-talk, beyond what all else says."""
    rng = random.Random(0)
    made = []
    for number in range(count):
        talk, proxy, params = rng.gauss(0, 1), rng.uniform(0.3, 0.6), rng.randint(3_000, CAP)
        final = 0.3 + 0.5 * proxy + 0.02 * math.log(params) + slope * talk + rng.gauss(0, noise)
        shape = architecture(*[block()] * rng.randint(1, 4))
        made.append(trained(number, talk, min(1, max(0, final)), seeds=seeds, params=params, proxy=proxy, shape=shape))
    return made


def gated(**given: object) -> StudyConfig:
    wanted = {"objectives": ("val_accuracy", "params", "cross_talk"), "budget": Budget(params=CAP)}
    return config(**wanted | given)


def test_thirty_networks_with_three_seeds_and_an_interval_below_zero_earn_a_weight() -> None:
    (verdict,) = verdicts(gated(), study_of(NETWORKS))
    assert verdict.weight == -verdict.partial.value > 0.5
    assert verdict.partial.high < 0
    assert verdict.words == (
        f"cross_talk: weight {verdict.weight:.2f} in decisions (partial rank correlation {verdict.partial.value:.2f}, "
        f"95 % interval {verdict.partial.low:.2f} to {verdict.partial.high:.2f}, 30 networks)"
    )


def test_the_refitted_composite_can_earn_a_weight() -> None:
    verdict = judge(networks(gated(), study_of(40)))
    assert verdict.metric == "interference"
    assert verdict.weight > 0.3


def test_twenty_nine_networks_earn_nothing() -> None:
    (verdict,) = verdicts(gated(), study_of(NETWORKS - 1))
    assert (verdict.weight, verdict.partial) == (0, None)
    assert verdict.words == "cross_talk: report-only (29 of 30 networks with three seeds in one size bin)"


def test_two_seeds_earn_nothing() -> None:
    (verdict,) = verdicts(gated(), study_of(40, seeds=SEEDS - 1))
    assert verdict.words == "cross_talk: report-only (0 of 30 networks with three seeds in one size bin)"


def test_an_interval_that_holds_zero_earns_nothing() -> None:
    (verdict,) = verdicts(gated(), study_of(40, slope=0))
    assert verdict.weight == 0
    assert verdict.partial.low < 0 < verdict.partial.high
    assert verdict.words.endswith("40 networks; the interval holds zero)")


def test_more_interference_with_better_accuracy_earns_nothing() -> None:
    (verdict,) = verdicts(gated(), study_of(40, slope=0.1))
    assert verdict.weight == 0
    assert verdict.partial.low > 0
    assert verdict.words.endswith("40 networks; more of it goes with better accuracy)")


def test_what_the_proxy_accuracy_says_already_earns_nothing() -> None:
    rng = random.Random(1)
    made = []
    for number in range(60):
        proxy = rng.uniform(0.2, 0.8)
        made.append(trained(number, -proxy + rng.gauss(0, 0.1), proxy + rng.gauss(0, 0.02), proxy=proxy))
    (verdict,) = verdicts(gated(), made)
    assert verdict.raw.value < -0.7
    assert verdict.weight == 0


def test_networks_of_other_sizes_do_not_count() -> None:
    large, small = study_of(NETWORKS - 1), [trained(100 + i, i, 0.5, params=2_000 - i) for i in range(10)]
    (verdict,) = verdicts(gated(), [*large, *small])
    assert (verdict.networks, verdict.size_bin) == (29, 0)


def test_networks_without_the_metric_do_not_count() -> None:
    bare = [record(measurement(0.5, LOW), *(measurement(0.6, HIGH, seed=i) for i in range(3)), number=99, params=9_000)]
    (verdict,) = verdicts(gated(), [*study_of(29), *bare])
    assert "29 of 30 networks with three seeds and a measurement in one size bin" in verdict.words


def test_a_metric_that_never_varies_earns_nothing_and_says_why() -> None:
    same = [trained(i, 0.5, i / 100, params=4_000 + i) for i in range(40)]
    (verdict,) = verdicts(gated(), same)
    assert (verdict.weight, verdict.raw, verdict.partial) == (0, None, None)
    assert "it does not vary over 40 networks beyond params, depth and proxy accuracy" in verdict.words


def test_a_verdict_needs_records_and_no_order() -> None:
    found = study_of(32)
    assert verdicts(gated(), found) == verdicts(gated(), found[::-1])
    assert verdicts(gated(objectives=("val_accuracy",)), found) == ()
    assert verdicts(gated(), ())[0].weight == 0


def test_the_final_accuracy_is_the_mean_over_seeds_at_the_top_rung() -> None:
    trial = record(
        measurement(0.4, LOW), *(measurement(a, HIGH, seed=i) for i, a in enumerate((0.5, 0.6, 0.7))), diverged(HIGH)
    )
    (found,) = networks(gated(), [trial])
    assert (found.final_accuracy, found.seeds) == (pytest.approx(0.6), 3)
    assert found.controls == (math.log(100), 1, 0.4)


def test_a_proxy_is_the_trial_s_own_training_where_both_rungs_are_one() -> None:
    trial = record(*(measurement(a, LOW, seed=i) for i, a in enumerate((0.5, 0.6, 0.7))))
    (found,) = networks(gated(fidelities=(LOW,)), [trial])
    assert (found.scores["val_accuracy"], found.final_accuracy) == (0.5, pytest.approx(0.6))


@pytest.mark.parametrize(("params", "expected"), [(100, 0), (26, 0), (25, 1), (7, 1), (6, 2), (1, 3), (0, 3)])
def test_size_bins_of_the_gate_go_down_from_the_cap_by_fourths(params: int, expected: int) -> None:
    assert size_bin(params, 100) == expected


def test_of_equally_full_bins_the_larger_networks_are_taken() -> None:
    made = [trained(i, 0, 0.5, params=params) for i, params in enumerate((9_000, 900, 8_000, 800, 100))]
    assert fullest_bin(networks(gated(), made)) == 0
    assert fullest_bin(()) is None


def test_every_gated_metric_is_an_objective_to_be_minimised() -> None:
    assert {objective.direction for objective in objectives(GATED)} == {"minimize"}


THREE = objectives(("interference", "val_accuracy", "cross_talk"))


def test_objectives_without_a_weight_take_no_part() -> None:
    found = verdicts(gated(objectives=("interference", "val_accuracy", "cross_talk")), ())
    assert [each.name for each in deciding(THREE, found)] == ["val_accuracy"]
    earned = [found[0].model_copy(update={"weight": 0.3}), found[1]]
    assert [each.name for each in deciding(THREE, earned)] == ["interference", "val_accuracy"]


def test_where_nothing_else_is_asked_for_they_stay() -> None:
    only = objectives(("interference", "cross_talk"))
    assert deciding(only, verdicts(gated(objectives=("interference", "cross_talk")), ())) == only


def test_every_measured_score_is_listed_with_what_can_be_said_of_it() -> None:
    table = faithfulness(networks(gated(), study_of(40)), seeds=3)
    scores = {score.name: score for score in table.scores}
    assert list(scores) == [
        *("val_accuracy", "val_loss", "interference", "cross_talk", "excess_coherence", "params", "macs", "depth")
    ]
    assert scores["cross_talk"].overall.value < -0.5
    assert scores["cross_talk"].partial.value == verdicts(gated(), study_of(40))[0].partial.value
    assert (scores["params"].partial, scores["depth"].partial, scores["val_accuracy"].partial) == (None, None, None)
    assert (table.networks, table.in_bin, scores["macs"].overall) == (40, 40, None)
    assert CAP // 4 < table.sizes[0] < table.sizes[1] <= CAP


def test_a_study_without_finals_has_an_empty_table() -> None:
    table = faithfulness(networks(gated(), [record(measurement(0.5))]), seeds=3)
    assert (table.networks, table.in_bin, table.sizes, table.scores) == (0, 0, None, ())


def test_fewer_seeds_than_asked_for_count_overall_alone() -> None:
    found = networks(gated(), [*study_of(10), trained(99, 1, 0.4, seeds=1)])
    table = faithfulness(found, seeds=3)
    assert (table.networks, table.in_bin) == (11, 10)
    assert faithfulness(found, seeds=1).in_bin == 11


def test_a_front_is_decided_without_what_has_no_weight_unless_it_is_asked_for() -> None:
    good = record(measurement(0.9, HIGH, interference=2.0), number=0)
    clean = record(measurement(0.5, HIGH, interference=0.0), number=1)
    asked = ("val_accuracy", "interference")
    view = StudyView.of(config(objectives=asked), [good, clean])
    assert [each.number for each in view.front] == [0]
    assert view.trust_lines == (
        "interference: report-only (0 of 30 networks with three seeds in one size bin)",
        "interference shown: plain composite (0 records with its parts, refitting needs 8)",
    )
    asked_for = StudyView.of(config(objectives=asked), [good, clean], objectives=asked)
    assert [each.number for each in asked_for.front] == [0, 1]
    assert asked_for.trust_lines[0].endswith("; here it decides, as it was asked for")
    alone = StudyView.of(config(objectives=("interference",)), [good, clean])
    assert [each.number for each in alone.front] == [1]
    assert alone.trust_lines[0].endswith("; here it decides, as there is no other objective")


def test_an_earned_weight_puts_the_cleanest_network_on_the_front() -> None:
    clean = trained(99, talk=-9, accuracy=0.01, params=CAP)
    earned, denied = (StudyView.of(gated(), [*study_of(count), clean]) for count in (NETWORKS, NETWORKS - 2))
    assert [each.name for each in earned.deciding] == ["val_accuracy", "params", "cross_talk"]
    assert [each.name for each in denied.deciding] == ["val_accuracy", "params"]
    assert clean in earned.front
    assert clean not in denied.front


def test_a_view_shows_the_refitted_composite_and_keeps_the_raw_parts() -> None:
    records = study_of(12)
    view = StudyView.of(gated(fidelities=(LOW,)), [_at_low(each) for each in records])
    for each in view.records:
        shown = view.metrics(each)
        assert shown["cross_talk"] == each.metrics["cross_talk"]
        assert "interference" not in each.metrics
        assert math.isfinite(shown["interference"])
    assert view.composite(LOW).records == 12


def _at_low(trial: TrialRecord) -> TrialRecord:
    return trial.model_copy(update={"measurements": trial.measurements[:1]})
