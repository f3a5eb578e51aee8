"""The page as text: what stands in it, what is escaped, how it is written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from nas.errors import InputError
from nas.records import TrialRecord
from nas.report import page_html
from nas.report.front_page import front_html, write_front_page
from nas.view import StudyView

MakeView = Callable[..., StudyView]
MakeRecord = Callable[..., TrialRecord]

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\"'%{x}"


@pytest.fixture(autouse=True)
def short_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave plotly.js out: no test here runs it."""
    monkeypatch.setattr(page_html, "get_plotlyjs", lambda: "var Plotly;")


def _cells(page: str) -> list[list[str]]:
    body = page.split("<tbody>")[1].split("</tbody>")[0]
    rows = (re.findall(r"<td[^>]*>(.*?)</td>", row) for row in body.strip().splitlines())
    return [[re.sub(r"<[^>]+>", "", cell) for cell in row] for row in rows]


def test_the_header_says_what_was_searched(view: StudyView) -> None:
    page = front_html(view)
    assert "<h1>first search</h1>" in page
    for term, words in {
        "space": "digits",
        "cap": "15,000 parameters",
        "trials": "40 (18 evaluated, 16 stopped early, 3 diverged, 2 failed, 1 running)",
        "compared at": "40 epochs, 8 px",
    }.items():
        assert f"<dt>{term}</dt><dd>{words}</dd>" in page


def test_the_table_holds_the_front(view: StudyView) -> None:
    table = _cells(front_html(view))
    assert [int(row[0]) for row in table] == [record.number for record in view.front]
    first = view.front[0]
    assert table[0][1] == first.arch_id
    assert table[0][2] == f"{100 * first.metrics['val_accuracy']:.1f}"
    assert table[0][3:6] == ["1 of 3", "\N{EN DASH}", ""]
    assert table[0][6] == f"{first.cost.params:,}"
    assert table[0][-1].startswith("stem w")


def test_other_objectives_get_columns(make_view: MakeView, records: Sequence[TrialRecord]) -> None:
    page = front_html(make_view(records, objectives=("val_loss", "peak_activation_bytes")))
    titles = re.findall(r"<th [^>]*>(.*?)</th>", page)
    assert titles[2 : titles.index("architecture")] == [
        "val. accuracy (%)",
        "seeds",
        "\N{PLUS-MINUS SIGN} (%)",
        "tied with",
        "parameters",
        "MACs",
        "interference",
        "val. loss",
        "peak activation (B)",
    ]


def test_the_caption_says_what_is_not_drawn(view: StudyView) -> None:
    page = front_html(view)
    assert "Not drawn, without a measurement: 1 diverged, 2 failed, 1 running." in page
    assert "trials lie below the range shown." in page


def test_notes_are_shown(view: StudyView) -> None:
    assert '<p class="note">interference is report-only &amp; shown</p>' in front_html(
        view, notes=["interference is report-only & shown"]
    )


def test_an_empty_study_has_no_plot(make_view: MakeView) -> None:
    page = front_html(make_view([]))
    assert "Nothing to show: no trial has been started yet." in page
    assert "<script" not in page
    assert "<table" not in page


def test_a_study_before_its_first_measurement(make_view: MakeView, make_record: MakeRecord) -> None:
    page = front_html(make_view([make_record(0), make_record(1)]))
    assert "Nothing to show: no trial has been measured yet." in page
    assert "<dd>2 (2 running)</dd>" in page


def test_a_study_of_which_all_diverged(make_view: MakeView, make_record: MakeRecord) -> None:
    page = front_html(make_view([make_record(number, diverged=True) for number in range(3)]))
    assert "Nothing to show: 3 trials, all diverged." in page


def test_trials_that_diverged_later_are_drawn_without_a_front(make_view: MakeView, make_record: MakeRecord) -> None:
    page = front_html(make_view([make_record(0, rungs=1, diverged=True)]))
    assert "The front is empty" in page
    assert 'id="plot"' in page
    assert "<table" not in page


def test_an_objective_that_nobody_measured(make_view: MakeView, make_record: MakeRecord) -> None:
    view = make_view([make_record(0, rungs=3, interference=False)], objectives=("interference", "params"))
    assert "Nothing to show: no trial has a measured interference." in front_html(view)


def test_one_trial_is_a_front(make_view: MakeView, make_record: MakeRecord) -> None:
    page = front_html(make_view([make_record(0, rungs=3)]))
    assert "<h2>Front: 1 trial</h2>" in page
    assert len(_cells(page)) == 1


def test_hostile_names_are_text(make_view: MakeView, records: Sequence[TrialRecord]) -> None:
    page = front_html(make_view(records, name=HOSTILE, space_name=HOSTILE, data=HOSTILE), notes=[HOSTILE])
    assert "<img" not in page
    assert "<script>alert" not in page
    assert page.count("<script") == page.count("</script>") == 3
    assert page.count("&lt;img src=x onerror=alert(2)&gt;&amp;amp;") == 6


def test_nothing_ends_the_json_of_the_figure(view: StudyView) -> None:
    text = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', front_html(view))[0]
    assert not set("<>") & set(text)
    assert set(json.loads(text)) == {"data", "layout", "templates", "full_range", "more"}


def test_nothing_is_loaded_from_elsewhere(view: StudyView) -> None:
    page = front_html(view)
    assert "default-src 'none'" in page
    assert not re.findall(r"\b(?:src|href)\s*=", page)
    assert "http" not in page.replace("http-equiv", "")


def test_a_page_replaces_an_older_one_and_leaves_nothing_else(tmp_path: Path, view: StudyView) -> None:
    path = tmp_path / "results" / "front.html"
    write_front_page(path, view)
    write_front_page(path, view, notes=["again"])
    assert "again" in path.read_text(encoding="utf-8")
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_keeps_the_older_page(tmp_path: Path, view: StudyView, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "front.html"
    path.write_text("older", encoding="utf-8")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        write_front_page(path, view)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text(encoding="utf-8") == "older"


def test_a_path_below_a_file_is_refused_in_one_line(tmp_path: Path, view: StudyView) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be written"):
        write_front_page(tmp_path / "file" / "front.html", view)


def test_a_name_that_is_no_unicode_is_still_written(tmp_path: Path, view: StudyView) -> None:
    write_front_page(tmp_path / "front.html", view, notes=["/data/\udcff"])
    assert "/data/?" in (tmp_path / "front.html").read_text(encoding="utf-8")
