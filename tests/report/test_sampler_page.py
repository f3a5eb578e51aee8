"""The page of samplers side by side: what stands in it, and how it looks and behaves in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from nas.records import TrialRecord
from nas.report.front_page import front_html
from nas.report.sampler_curves import Hours, Studies
from nas.report.sampler_page import sampler_html, write_sampler_page
from nas.view import StudyView
from tests.report import test_front_page_browser as front
from tests.report.chromium import watched
from tests.report.conftest import RUNGS
from tests.report.test_front_page_browser import HOSTILE

MakeView = Callable[..., StudyView]
Open = Callable[..., Any]

LINES = "#trials .scatterlayer .trace .lines path"
HOURS = {name: {(number, RUNGS[-1]): 0.1 + number / 10 for number in range(18)} for name in ("cap", "random")}


@pytest.fixture(scope="module")
def studies(make_view: MakeView, records: Sequence[TrialRecord]) -> Studies:
    """Give a study and a baseline that has tried the same networks from the other end."""
    turned = [each.model_copy(update={"number": 39 - each.number}) for each in reversed(records)]
    return [("cap", make_view(records)), ("random", make_view(turned, name="first search-random"))]


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Open the page."""
    with watched(browser) as visit:

        def open_it(
            studies: Studies, hours: dict[str, Hours] | None = None, width: int = 1280, height: int = 800
        ) -> Any:
            path = tmp_path / "baselines.html"
            write_sampler_page(path, studies, hours=hours, front="front.html")
            page = visit(path.as_uri(), width, height)
            page.wait_for_selector(LINES, state="attached")
            return page

        yield open_it


def test_the_table_says_where_each_sampler_stood(studies: Studies) -> None:
    page = sampler_html(studies)
    rows = page.split("<tbody>")[1].split("</tbody>")[0].strip().splitlines()
    cells = [[re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in rows]
    assert [row[:2] for row in cells] == [["cap", "first search"], ["random", "first search-random"]]
    assert cells[0][4] == "1.000"
    assert cells[0][2] == cells[1][2]
    assert "After 39 candidates each" in page


def test_pages_lead_to_each_other_where_there_are_both(studies: Studies) -> None:
    view = studies[0][1]
    assert '<a href="front.html">' in sampler_html(studies, front="front.html")
    assert '<a href="baselines.html">' in front_html(view, baselines="baselines.html")
    assert "<a href=" not in sampler_html(studies).split("<script>")[0]
    assert "baselines" not in front_html(view).split("<script>")[0]


def test_without_hours_there_is_one_figure(studies: Studies) -> None:
    assert 'id="hours"' not in sampler_html(studies)
    assert 'id="hours"' in sampler_html(studies, hours=HOURS)


def test_it_draws_a_line_for_each_sampler(open_page: Open, studies: Studies) -> None:
    page = open_page(studies, HOURS)
    for name in ("trials", "hours"):
        assert page.locator(f"#{name} .scatterlayer .trace .lines path").count() == 2
        assert page.locator(f"#{name} .legendtext").all_text_contents() == ["cap", "random"]
    words = page.locator("#trials .infolayer").text_content()
    assert "candidates evaluated" in words
    assert "hypervolume" in words


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_colours_of_the_screen(open_page: Open, studies: Studies, scheme: str) -> None:
    from playwright.sync_api import expect

    page = open_page(studies, HOURS)
    page.emulate_media(color_scheme=scheme)
    colour = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[scheme]
    for part in ("body", "#trials .main-svg", "#hours .main-svg"):
        expect(page.locator(part).first).to_have_css("background-color", colour)


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 800)])
def test_it_fits_the_screen(open_page: Open, studies: Studies, width: int, height: int) -> None:
    page = open_page(studies, HOURS, width, height)
    assert not front._overflows(page)
    for part in ("#trials .main-svg", "#hours .main-svg", "table"):
        box = page.locator(part).first.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


def test_hostile_text_stays_text(open_page: Open, make_view: MakeView, records: Sequence[TrialRecord]) -> None:
    view = make_view(records, name=HOSTILE, space_name=HOSTILE, data=HOSTILE)
    page = open_page([(HOSTILE, view), ("%{x}", view)])
    assert page.title() == f"{HOSTILE}: samplers side by side"
    assert page.locator("td").first.text_content() == HOSTILE
    assert page.locator("script").count() == 3
    page.evaluate("Plotly.Fx.hover('trials', [{ curveNumber: 0, pointNumber: 20 }])")
    words = page.locator("#trials .hoverlayer").text_content()
    assert "".join(HOSTILE.split()) in "".join(words.split())
    assert "after 21 candidates: 0." in words
    assert page.locator("img, iframe, object, body b, #trials a, #trials image").count() == 0
