"""The figures of one network's interference, and the page around them as text."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.errors import InputError
from nas.interference import NULLS, InterferenceReport
from nas.interference.report import OF_BLOCKS, OF_PROJECTIONS
from nas.report import interference_page, page_html
from nas.report.interference_figures import SPANS, evenly, gram_figure, heat_map, realised_figure
from nas.report.interference_page import interference_html, write_interference_page
from tests.report.inspections import block, hostile, inspection, projection, report


@pytest.fixture(autouse=True)
def short_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave plotly.js out: no test here runs it."""
    monkeypatch.setattr(page_html, "get_plotlyjs", lambda: "var Plotly;")


def cells(found: InterferenceReport) -> dict[tuple[str, str], tuple[float | None, str]]:
    """Return the distance and the text of each cell of the heat map, by place and metric."""
    (trace,) = heat_map(found).data
    columns = [label.replace("<br>", " ") for label in trace.x]
    return {
        (place, column): (trace.z[i][j], trace.text[i][j])
        for i, place in enumerate(trace.y)
        for j, column in enumerate(columns)
    }


def figures(page: str) -> dict[str, Any]:
    """Return what the page's script draws."""
    return json.loads(re.findall(r'<script type="application/json" id="figures">(.*?)</script>', page)[0])


def test_every_metric_of_the_heat_map_has_a_scale_and_a_chance() -> None:
    shown = {*OF_PROJECTIONS, *OF_BLOCKS}
    assert set(SPANS) == shown
    assert shown - set(NULLS) == {"importance_weighted"}  # its chance is the packing floor


def test_a_cell_says_how_far_a_value_is_from_chance() -> None:
    found = cells(report())
    assert found["stage1.block1", "cross- talk"] == ((0.8 - 0) / 0.5, "0.80")  # the mean of its two projections
    assert found["head.widen", "excess coherence"] == (-0.25 / 0.5, "\N{MINUS SIGN}0.25")
    assert found["stage2.block1", "superlinearity"] == ((1.5 - 1) / 1, "1.50")
    assert found["stage1.block1", "activation ratio"] == (0, "100%")


def test_importance_is_compared_with_the_packing_floor_of_the_same_maps() -> None:
    distance, text = cells(report())["stage1.block1", "importance- weighted"]
    floor = 1 - 4 / 12
    assert text == f"{(floor + 0.9) / 2:.2f}"
    assert distance == pytest.approx(((floor + 0.9) / 2 - floor) / 0.25, abs=1e-3)


def test_what_was_not_measured_is_an_empty_cell() -> None:
    found = cells(report())
    assert found["stage1.block1", "class overlap"] == (None, "")
    assert found["head.widen", "importance- weighted"] == (None, "")
    assert found["head.widen", "superlinearity"] == (None, "")


def test_a_metric_that_nothing_has_is_no_column() -> None:
    only_blocks = InterferenceReport((), (block("0"), block("1")))
    (trace,) = heat_map(only_blocks).data
    assert [label.replace("<br>", " ") for label in trace.x] == [
        *("class overlap", "channel correlation", "superlinearity", "channel kurtosis")
    ]


def test_names_that_look_like_numbers_stay_names() -> None:
    figure = heat_map(InterferenceReport((), (block("0"), block("10"))))
    assert figure.data[0].y == ("0", "10")
    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("category", "category")


def test_zero_has_no_sign() -> None:
    found = cells(InterferenceReport((projection("a", 4, 4, cross_talk=-0.001),), (block("b"),)))
    assert found["a", "cross- talk"][1] == "0.00"


def test_a_large_projection_is_drawn_in_part() -> None:
    (trace,) = gram_figure(np.diag(np.arange(100.0))).data
    kept = [int(label) for label in trace.x]
    assert (len(kept), kept[0], kept[-1]) == (64, 0, 99)
    assert np.diag(trace.z).tolist() == kept
    assert trace.x == trace.y


@pytest.mark.parametrize(("count", "most", "kept"), [(3, 4, [0, 1, 2]), (7, 4, [0, 2, 4, 6]), (0, 4, [])])
def test_evenly_keeps_both_ends(count: int, most: int, kept: list[int]) -> None:
    assert evenly(count, most) == kept


def test_bars_are_sorted_above_the_packing_floor() -> None:
    figure = realised_figure(projection("a", 4, 8, realised=(0.2, 0.75, 0.5)))
    assert figure.data[0].y == (0.75, 0.5, 0.2)
    assert figure.data[0].x == (1, 2, 3)
    assert figure.layout.shapes[0].y0 == figure.layout.shapes[0].y1 == 0.5
    assert figure.layout.annotations[0].text == "packing floor 0.50"


def test_many_bars_keep_the_largest_and_the_smallest() -> None:
    values = tuple(np.linspace(0, 1, 1000).tolist())
    bars = realised_figure(projection("a", 500, 1000, realised=values)).data[0]
    assert (len(bars.y), bars.y[0], bars.y[-1], bars.x[-1]) == (256, 1, 0, 1000)


def test_a_projection_that_was_not_measured_says_so() -> None:
    figure = realised_figure(projection("a", 4, 1, realised=()))
    assert len(figure.data) == 0
    assert "not measured" in {note.text for note in figure.layout.annotations}


def test_the_page_has_facts_averages_and_every_projection() -> None:
    page = interference_html(inspection())
    assert "<h1>network</h1>" in page
    assert "<dt>weights</dt><dd>untrained (seed 0)</dd>" in page
    rows = [re.sub(r"<[^>]+>", " ", row).split() for row in page.splitlines() if row.startswith("<tr><td")]
    mean = (0.9 + 0.7 + 0.0) / 3
    assert ["cross-talk", f"{mean:.3f}", "0.000", "\N{PLUS-MINUS SIGN}0.5", "log", "overlap"] in [r[:6] for r in rows]
    assert ["head.widen", "8", "100", "0.000", "\N{MINUS SIGN}0.250", "0.000", "\N{EN DASH}"] in [r[:7] for r in rows]
    assert "<h2>3 1x1 maps</h2>" in page


def test_the_projection_asked_for_is_selected() -> None:
    page = interference_html(inspection(), "head.widen")
    assert re.findall(r"<option selected>(.*)</option>", page) == ["head.widen"]
    assert page.count("<option>") == 2


def test_cosines_come_as_hundredths_in_bytes() -> None:
    each = figures(interference_html(inspection()))["projections"][0]
    cosines = np.frombuffer(base64.b64decode(each["cosines"]), dtype=np.int8).reshape(each["side"], each["side"])
    expected = 100 * np.eye(12)
    expected[0, 1] = expected[1, 0] = -100
    assert (cosines == expected).all()
    assert "z" not in each["gram"]["data"][0]


def test_the_page_says_what_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interference_page, "MOST_PROJECTIONS", 2)
    page = interference_html(inspection())
    assert "1 more 1x1 map in the table alone." in page
    assert [each["name"] for each in figures(page)["projections"]] == [
        *("stages.stage1.block1.expand", "stages.stage1.block1.project")
    ]
    whole = replace(inspection(), report=InterferenceReport((projection("head.widen", 8, 100),), ()))
    about = figures(interference_html(whole))["projections"][0]["about"]
    assert about == (
        "100 features in 8 dimensions, read by its rows; 64 of them are drawn against each other, at even distances."
    )


def test_a_network_of_blocks_alone_has_no_projections() -> None:
    page = interference_html(inspection(measured=InterferenceReport((), (block("0"),))))
    assert 'id="heat"' in page
    assert 'id="gram"' not in page
    assert figures(page)["projections"] == []


def test_a_large_projection_takes_few_bytes() -> None:
    large = InterferenceReport(tuple(projection(f"layer{i}", 960, 160) for i in range(10)), (block("layer"),))
    assert len(interference_html(inspection(measured=large))) < 150_000  # without plotly.js, which has 4.8 MB


def test_hostile_names_are_text() -> None:
    page = interference_html(hostile())
    assert "<img" not in page
    assert "<script>alert" not in page
    assert page.count("<script") == page.count("</script>") == 3
    shown = json.dumps(figures(page)["heat"]["data"])
    assert not {"<img", "<script"} & set(re.findall(r"<\w+", shown))
    assert not set("<>") & set(re.findall(r'id="figures">(.*?)</script>', page)[0])


def test_nothing_is_loaded_from_elsewhere() -> None:
    page = interference_html(inspection())
    assert "default-src 'none'" in page
    assert not re.findall(r"\b(?:src|href)\s*=", page)
    assert "http" not in page.replace("http-equiv", "")


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_interference_page(tmp_path / "file" / "page.html", inspection())


def test_a_page_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "pages" / "page.html"
    write_interference_page(path, inspection(), "head.widen")
    assert "<option selected>head.widen</option>" in path.read_text()
    assert list(path.parent.iterdir()) == [path]
