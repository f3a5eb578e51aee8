"""Averages over layers, their names, and where each layer stands among the blocks."""

from __future__ import annotations

import pytest

from nas.interference import MEANING, NULLS, BlockReport, InterferenceReport, ProjectionReport


def projection(name: str, value: float | None, outs: int = 4, ins: int = 16) -> ProjectionReport:
    return ProjectionReport(name, outs, ins, value, value, value, value, value, (), 0)


def block(name: str, value: float | None) -> BlockReport:
    return BlockReport(name, 8, value, value, value, value, 0)


def test_average_is_over_what_was_measured() -> None:
    report = InterferenceReport((projection("a", 1.0), projection("b", None), projection("c", 3.0)), ())
    assert report.cross_talk == report.importance_weighted == report.activation_ratio == 2
    assert report.class_overlap is report.superlinearity is None


def test_what_was_not_measured_is_no_metric() -> None:
    assert InterferenceReport((projection("a", None),), (block("b", None),)).metrics() == {}
    report = InterferenceReport((projection("a", 0.0),), (), topk_drop=0.0)
    assert set(report.metrics().values()) == {0.0}
    assert "topk_drop" in report.metrics()
    assert "class_overlap" not in report.metrics()


def test_plain_composite_is_the_mean_of_its_two_parts() -> None:
    mixed = ProjectionReport("a", 4, 16, 1.0, 2.0, 9.0, 9.0, 9.0, (), 0)
    assert InterferenceReport((mixed,), (block("b", 9.0),)).interference == 1.5


@pytest.mark.parametrize(("outs", "ins", "floor"), [(4, 16, 0.75), (16, 4, 0.75), (8, 8, 0.0)])
def test_packing_floor_is_what_the_shape_forces(outs: int, ins: int, floor: float) -> None:
    assert projection("a", 1.0, outs, ins).packing_floor == floor


def test_packing_floor_of_a_network_is_that_of_the_projections_weighted() -> None:
    report = InterferenceReport((projection("a", 0.9, 4, 16), projection("b", None, 8, 8)), ())
    assert report.packing_floor == 0.75
    assert InterferenceReport((projection("b", None),), ()).packing_floor is None


def test_blocks_hold_the_means_of_their_projections_in_running_order() -> None:
    projections = (projection("stem", 7.0), projection("s.1.a", 1.0), projection("s.1.b", 3.0), projection("s.10.a", 5))
    places = InterferenceReport(projections, (block("s.0", 2.0), block("s.1", 4.0), block("s.10", None))).by_block()
    assert list(places) == ["stem", "s.0", "s.1", "s.10"]
    assert places["s.1"]["cross_talk"] == 2
    assert places["s.1"]["channel_kurtosis"] == 4
    assert "cross_talk" not in places["s.0"]
    assert "channel_kurtosis" not in places["s.10"]
    assert set(places["stem"]) == {
        "cross_talk",
        "excess_coherence",
        "redundancy",
        "importance_weighted",
        "activation_ratio",
    }


def test_projection_belongs_to_the_innermost_block() -> None:
    blocks = (block("s.1", 1.0), block("s", 2.0), block("alone", 3.0))
    report = InterferenceReport((projection("s.1.a", 5.0), projection("s.2", 6.0), projection("alone", 7.0)), blocks)
    assert {name: values["redundancy"] for name, values in report.by_block().items()} == {
        "s.1": 5.0,
        "s": 6.0,
        "alone": 7.0,
    }


def test_whole_network_as_a_block_holds_every_projection() -> None:
    assert list(InterferenceReport((projection("a.b", 1.0),), (block("", 1.0),)).by_block()) == [""]


def test_every_metric_has_a_meaning_and_all_but_one_a_null() -> None:
    report = InterferenceReport((projection("a", 1.0),), (block("b", 1.0),), topk_drop=1.0)
    assert list(report.metrics()) == list(MEANING)
    assert set(MEANING) - set(NULLS) == {"importance_weighted"}
    assert set(NULLS) < set(MEANING)
