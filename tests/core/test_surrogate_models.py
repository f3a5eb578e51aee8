"""Models of a study's trials: closed forms against refits, and which model is trusted where."""

from __future__ import annotations

import numpy as np
import pytest

from nas.space import Gene
from nas.surrogate.encoding import Encoder, Floats, known_scores, standard
from nas.surrogate.ensemble import fit_surrogate
from nas.surrogate.forest import fit_forest
from nas.surrogate.kernels import FAMILIES, Kernel, fit_kernel, gene_weights
from nas.surrogate.priors import fit_prior
from nas.surrogate.ranks import rank_quality, ranks, spearman
from nas.surrogate.target import soften

GENES = tuple(Gene(f"g{i}", (1, 2, 4) if i % 2 else ("a", "b", "c")) for i in range(6))
ENCODER = Encoder(GENES)


def _codes(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(3, size=(count, len(GENES))).astype(np.int16)


def _additive(codes: np.ndarray) -> Floats:
    return np.asarray(codes @ np.array([3.0, 0.0, -2.0, 1.0, 0.0, 0.5]))


def _fresh_scores(count: int) -> Floats:
    return np.zeros((count, 0))


def test_the_features_of_a_gene_tell_its_values_apart_and_keep_their_order() -> None:
    codes = np.zeros((3, len(GENES)), dtype=np.int16)
    codes[:, 1] = [0, 1, 2]
    rows = ENCODER.features(codes)
    near, far = np.sum((rows[0] - rows[1]) ** 2), np.sum((rows[0] - rows[2]) ** 2)
    assert 0 < near < far <= 2 + 1e-9
    assert set(ENCODER.groups) == set(range(len(GENES)))


def test_a_genotype_is_coded_by_the_places_of_its_values() -> None:
    genotype = {gene.name: gene.values[i % 3] for i, gene in enumerate(GENES)}
    assert ENCODER.codes([genotype]).tolist() == [[0, 1, 2, 0, 1, 2]]


def test_constant_and_repeated_scores_are_dropped() -> None:
    rng = np.random.default_rng(0)
    column = rng.normal(size=50)
    scores = np.stack([np.full(50, 3.0), column, 2 * column + 1, rng.normal(size=50)], axis=1)
    scale = standard(scores)
    assert scale.kept == (1, 3)
    np.testing.assert_allclose(scale.apply(scores).mean(axis=0), 0, atol=0.05)


def test_costs_are_known_scores_in_the_order_of_their_names() -> None:
    rows = known_scores([{"b": 0.0, "a": np.e - 1}, {"b": -1.0, "a": 0.0}])
    np.testing.assert_allclose(rows, [[1, 0], [0, -np.log(2)]])


@pytest.mark.parametrize("family", FAMILIES)
def test_left_out_predictions_equal_those_of_models_without_the_row(family: str) -> None:
    codes = _codes(20)
    features = ENCODER.features(codes)
    targets = _additive(codes) + np.random.default_rng(1).normal(size=20)
    targets = targets - targets.mean()
    kernel = FAMILIES[family][-1]
    model = fit_kernel(features, targets, [kernel])
    share = model.noise / model.amplitude
    squares = np.sum(model.rows**2, axis=1)
    matrix = kernel.of(model.rows @ model.rows.T, squares, squares)
    for i in range(3):
        rest = np.delete(np.arange(20), i)
        inner = matrix[np.ix_(rest, rest)] + share * np.eye(19)
        expected = matrix[i, rest] @ np.linalg.solve(inner, targets[rest])
        assert model.left_out[i] == pytest.approx(expected, abs=1e-8)


def test_predictions_of_the_rows_fitted_are_less_certain_farther_away() -> None:
    codes = _codes(30)
    model = fit_kernel(ENCODER.features(codes), _additive(codes) - _additive(codes).mean(), [Kernel(reach=1.0)])
    _, at = model.predict(ENCODER.features(codes))
    _, away = model.predict(ENCODER.features(_codes(30, seed=9)))
    assert at.mean() < away.mean()


def test_a_gene_that_matters_weighs_more() -> None:
    codes = _codes(80)
    model = fit_kernel(ENCODER.features(codes), _additive(codes) - _additive(codes).mean(), FAMILIES["additive"])
    weights = gene_weights(model, ENCODER.groups)
    by_gene = [float(weights[ENCODER.groups == i].mean()) for i in range(len(GENES))]
    assert by_gene[0] > by_gene[5] > by_gene[1]


@pytest.mark.parametrize("pairs", [False, True])
def test_the_ensemble_ranks_members_that_it_has_not_seen(pairs: bool) -> None:
    def truth(codes: np.ndarray) -> Floats:
        return _additive(codes) + (4.0 * (codes[:, 1] == 1) * (codes[:, 4] == 2) if pairs else 0.0)

    codes, others = _codes(90), _codes(200, seed=5)
    model = fit_surrogate(ENCODER, codes, _fresh_scores(90), soften(truth(codes)), seed=0)
    mean, spread = model.predict(others, _fresh_scores(200))
    assert spearman(mean, truth(others)) > 0.9
    assert model.quality > 0.8
    assert np.all(spread > 0)


def test_models_that_rank_badly_have_little_weight() -> None:
    codes = _codes(100)
    parity = np.where(codes[:, 0] % 2 == codes[:, 1] % 2, 1.0, -1.0)
    model = fit_surrogate(ENCODER, codes, _fresh_scores(100), parity - parity.mean(), seed=0)
    assert model.weights.get("additive", 0.0) < 0.05


def test_noise_is_not_taken_for_knowledge() -> None:
    codes = _codes(100)
    targets = np.random.default_rng(3).normal(size=100)
    model = fit_surrogate(ENCODER, codes, _fresh_scores(100), targets - targets.mean(), seed=0)
    mean, _ = model.predict(codes, _fresh_scores(100))
    assert abs(model.quality) < 0.4
    assert mean.std() < 0.6


def test_constant_targets_are_predicted_everywhere() -> None:
    codes = _codes(14)
    model = fit_surrogate(ENCODER, codes, np.ones((14, 2)), np.zeros(14), seed=0)
    mean, spread = model.predict(codes, np.ones((14, 2)))
    np.testing.assert_allclose(mean, 0, atol=1e-9)
    assert np.isfinite(spread).all()


def test_a_known_score_that_explains_all_is_used() -> None:
    codes, others = _codes(60), _codes(60, seed=7)
    hidden = np.random.default_rng(0).normal(size=(2, 60, 1))
    model = fit_surrogate(ENCODER, codes, hidden[0], hidden[0, :, 0] - hidden[0].mean(), seed=0)
    assert spearman(model.predict(others, hidden[1])[0], hidden[1, :, 0]) > 0.9


def test_out_of_bag_predictions_are_worse_than_those_of_all_trees() -> None:
    codes = _codes(60)
    targets = np.random.default_rng(3).normal(size=60)
    model = fit_forest(ENCODER.features(codes), targets, seed=0)
    assert spearman(model.predict(ENCODER.features(codes))[0], targets) > spearman(model.left_out, targets) + 0.3


def test_the_bad_tail_is_pulled_in_and_the_order_kept() -> None:
    losses = np.array([0.0, 1, 2, 3, 4, 5, 6, 400, np.nan, np.inf])
    soft = soften(losses)
    assert np.all(np.diff(soft[:8]) > 0)
    assert soft[8] == soft[9] > soft[7]
    assert soft[1] - soft[0] > (soft[7] - soft[6]) / 20
    assert soft.mean() == pytest.approx(0)


@pytest.mark.parametrize("losses", [[], [np.nan, np.nan], [2.0, 2.0, 2.0]])
def test_losses_that_do_not_differ_are_nothing_to_learn(losses: list[float]) -> None:
    assert np.array_equal(soften(np.array(losses)), np.zeros(len(losses)))


def test_rank_quality_is_one_for_the_true_order_and_none_for_a_constant() -> None:
    losses = np.arange(10.0)
    assert rank_quality(losses**3, losses) == pytest.approx(1)
    assert rank_quality(np.zeros(10), losses) == 0


def test_a_prior_of_a_handful_of_equal_losses_says_nothing() -> None:
    genotypes = [{gene.name: gene.values[0] for gene in GENES}] * 6
    assert fit_prior(ENCODER, genotypes, np.ones(6)) is None
    assert fit_prior(ENCODER, genotypes[:3], np.arange(3.0)) is None


def test_a_prior_of_many_rows_ranks_others() -> None:
    codes, others = _codes(900), _codes(100, seed=5)
    genotypes = [{gene.name: gene.values[i] for gene, i in zip(GENES, row, strict=True)} for row in codes.tolist()]
    model = fit_prior(ENCODER, genotypes, _additive(codes))
    assert model is not None
    assert spearman(model.predict(others), _additive(others)) > 0.95


def test_equal_values_share_their_rank() -> None:
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [2.5, 0, 2.5, 1]
