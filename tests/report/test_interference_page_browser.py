"""The page of one network in a real browser: it draws, follows the screen and the choice, and runs only its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nas.report.interference_page import Inspection, write_interference_page
from tests.report import test_front_page_browser as front
from tests.report.chromium import watched
from tests.report.inspections import HOSTILE, hostile, inspection

Open = Callable[..., Any]

CELLS = "#heat .heatmaplayer text"
BARS = "#realised .bars .point path"


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Open the page."""
    with watched(browser) as visit:

        def open_it(found: Inspection, *, width: int = 1280, height: int = 800) -> Any:
            path = tmp_path / "network.html"
            write_interference_page(path, found)
            page = visit(path.as_uri(), width, height)
            page.wait_for_selector(BARS, state="attached")
            return page

        yield open_it


def test_it_draws_all_three_figures(open_page: Open) -> None:
    page = open_page(inspection())
    words = page.locator(CELLS).all_text_contents()
    assert "0.80" in words
    assert page.locator("#gram .heatmaplayer image").count() == 1
    assert page.locator(BARS).count() == 12
    assert "packing floor 0.67" in page.locator("#realised").text_content()
    assert page.locator("#about").text_content() == "12 features in 4 dimensions, read by its rows."


def test_cosines_are_read_from_their_bytes(open_page: Open) -> None:
    page = open_page(inspection())
    first_row = page.evaluate("Array.from(document.getElementById('gram').data[0].z[0])")
    assert first_row == [1, -1] + [0] * 10


def test_another_projection_can_be_chosen(open_page: Open) -> None:
    page = open_page(inspection())
    page.select_option("#projection", "head.widen")
    assert page.locator(BARS).count() == 100
    assert page.locator("#about").text_content().startswith("100 features in 8 dimensions")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_colours_of_the_screen(open_page: Open, scheme: str) -> None:
    from playwright.sync_api import expect

    page = open_page(inspection())
    page.emulate_media(color_scheme=scheme)
    colour = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[scheme]
    for part in ("body", "#heat .main-svg", "#gram .main-svg", "#realised .main-svg"):
        expect(page.locator(part).first).to_have_css("background-color", colour)


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 800)])
def test_it_fits_the_screen(open_page: Open, width: int, height: int) -> None:
    page = open_page(inspection(), width=width, height=height)
    assert not front._overflows(page)
    for part in ("#heat", "#gram", "#realised"):
        box = page.locator(part).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    for place in page.locator("#heat .ytick text").all():
        assert place.bounding_box()["x"] >= 0


def test_hostile_names_stay_text(open_page: Open) -> None:
    page = open_page(hostile())
    assert page.title() == f"{HOSTILE}: interference"
    assert page.locator("h1").text_content() == HOSTILE
    assert page.locator("img, iframe, object, body b, #heat a, #heat image[href^='http']").count() == 0
    assert page.locator("script").count() == 3
    page.locator(CELLS).first.hover(force=True)
    page.wait_for_selector("#heat .hoverlayer .hovertext text")
    words = page.locator("#heat .hoverlayer").text_content()
    assert "".join(HOSTILE.split()) in "".join(words.split())
