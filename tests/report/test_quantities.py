"""Numbers in words: units, digits, prefixes."""

from __future__ import annotations

import math

import pytest

from nas.pareto import DIRECTIONS
from nas.report.quantities import QUANTITIES, Quantity, plural, quantity, short_count


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (980, "980"), (999.6, "1k"), (10_000, "10k"), (12_345, "12.3k"), (999_950, "1M"), (1_500_000, "1.5M")],
)
def test_counts_keep_three_digits_and_take_a_prefix(value: float, words: str) -> None:
    assert short_count(value) == words


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("val_accuracy", 0.91247, "91.2 %"),
        ("params", 1_234_567.0, "1,234,567"),
        ("macs", 25_300_000.0, "25.3M"),
        ("peak_activation_bytes", 12_288.0, "12.3 kB"),
        ("peak_activation_bytes", 512.0, "512 B"),
        ("interference", -0.0584, "\N{MINUS SIGN}0.058"),
        ("train_seconds", 12.34, "12.3 s"),
        ("interference", None, "not measured"),
        ("interference", math.nan, "not measured"),
    ],
)
def test_values_are_shown_with_their_unit(name: str, value: float | None, words: str) -> None:
    assert quantity(name).words(value) == words


def test_every_possible_objective_has_a_label() -> None:
    assert set(DIRECTIONS) <= set(QUANTITIES)


def test_an_unknown_metric_goes_by_its_own_name() -> None:
    assert quantity("gradient_norm") == Quantity("gradient norm", "free")


def test_titles_name_the_unit() -> None:
    assert quantity("val_accuracy").title == "validation accuracy (%)"
    assert quantity("peak_activation_bytes").title == "peak activation (B)"
    assert quantity("params").title == "parameters"


def test_a_missing_number_is_a_dash() -> None:
    assert quantity("macs").number(None) == "\N{EN DASH}"


def test_one_is_singular() -> None:
    assert [plural(1, "trial"), plural(0, "trial"), plural(1_000, "trial")] == ["1 trial", "0 trials", "1,000 trials"]
