"""The page in a real browser: it draws, answers the pointer, follows the screen, and runs nothing but its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from nas.architecture import Architecture, Stage
from nas.blocks import Block
from nas.problem import Problem
from nas.records import Candidate, Fidelity, Measurement, TrialRecord
from nas.report.front_page import write_front_page
from nas.report.trust_section import Curve
from nas.search.problem import solve
from nas.view import StudyView
from tests.report.chromium import watched

MakeView = Callable[..., StudyView]
MakeRecord = Callable[..., TrialRecord]
Open = Callable[..., Any]

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)><b>&lt;img src=x onerror=alert(3)&gt;</b>"
POINTS = "#plot .scatterlayer .trace .points path"


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Open the page of a study."""
    with watched(browser) as visit:

        def open_it(
            view: StudyView, *, notes: Sequence[str] = (), curve: Curve = (), width: int = 1280, height: int = 800
        ) -> Any:
            path = tmp_path / "front.html"
            write_front_page(path, view, notes=notes, curve=curve)
            page = visit(path.as_uri(), width, height)
            if page.locator("#plot").count():
                page.wait_for_selector(POINTS, state="attached")
            return page

        yield open_it


def _hover(page: Any, index: int) -> str:
    box = page.locator(POINTS).nth(index).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#plot .hoverlayer .hovertext text")
    return str(page.locator("#plot .hoverlayer").text_content())


def _overflows(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def test_it_draws_every_measured_trial(open_page: Open, view: StudyView) -> None:
    page = open_page(view)
    assert page.locator(POINTS).count() == sum(record.best_fidelity is not None for record in view.records)
    assert page.locator("section").first.locator("tbody tr").count() == len(view.front)
    assert "interference" in page.locator("#plot .infolayer .cbcoloraxis").text_content()
    assert page.locator("#plot .annotation-text").text_content() == "cap 15k"


def test_a_point_answers_the_pointer(open_page: Open, view: StudyView) -> None:
    page = open_page(view)
    words = _hover(page, page.locator(POINTS).count() - 1)
    assert "on the front" in words
    assert "validation accuracy: " in words
    assert "stem w" in words


def test_the_button_brings_back_what_lies_outside(open_page: Open, view: StudyView) -> None:
    page = open_page(view)
    lowest = "Math.min(...document.getElementById('plot')._fullLayout.yaxis.range)"
    first = page.evaluate(lowest)
    page.click("#range")
    assert page.evaluate(lowest) < first
    page.click("#range")
    assert page.evaluate(lowest) == first


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_colours_of_the_screen(open_page: Open, view: StudyView, scheme: str) -> None:
    from playwright.sync_api import expect

    page = open_page(view)
    page.emulate_media(color_scheme=scheme)
    colour = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[scheme]
    for part in ("body", "#plot .main-svg"):  # `expect` waits without eval, which the page's policy forbids
        expect(page.locator(part).first).to_have_css("background-color", colour)


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 800)])
def test_it_fits_the_screen(open_page: Open, view: StudyView, width: int, height: int) -> None:
    page = open_page(view, width=width, height=height)
    assert not _overflows(page)
    legend = page.locator("#plot .legend").bounding_box()
    cap = page.locator("#plot .annotation-text").bounding_box()
    points = [page.locator(POINTS).nth(i).bounding_box()["y"] for i in range(page.locator(POINTS).count())]
    assert legend["y"] + legend["height"] < min(points)
    assert cap["x"] + cap["width"] < width


def test_its_own_picture_can_be_saved(open_page: Open, view: StudyView) -> None:
    page = open_page(view)
    assert page.evaluate("Plotly.toImage('plot', {format: 'png'})").startswith("data:image/png;base64,")


def test_hostile_text_stays_text(open_page: Open, make_view: MakeView, make_record: MakeRecord) -> None:
    block = Block.model_construct(family="nodepth", activation=HOSTILE, kernel=3, expansion=1.0, se_ratio=0.0)
    plain = make_record(0, rungs=3)
    stage = Stage.model_construct(width=8, stride=1, blocks=(block,))
    network = Architecture.model_construct(stem=plain.architecture.stem, stages=(stage,), head=plain.architecture.head)
    record = TrialRecord.model_construct(**{**dict(plain), "architecture": network})
    view = make_view([record, make_record(1, rungs=3)], name=HOSTILE, space_name=HOSTILE, data=HOSTILE)
    page = open_page(view, notes=[HOSTILE])
    assert page.title() == f"{HOSTILE}: front"
    assert page.locator("h1").text_content() == HOSTILE
    assert page.locator("img, iframe, object, body b").count() == 0
    words = " ".join(_hover(page, i) for i in range(page.locator(POINTS).count()))
    assert "".join(HOSTILE.split()) in "".join(words.split())
    assert page.locator("script").count() == 3
    assert page.locator("img, #plot .hoverlayer a, #plot .hoverlayer image").count() == 0


@pytest.mark.parametrize("costs", [("delay_ms", "energy"), ("delay_ms",), ()])
@pytest.mark.parametrize("wanted", [("score",), ("score", "loss"), ("loss", "delay_ms")])
def test_the_front_of_a_problem_is_drawn(open_page: Open, costs: Sequence[str], wanted: Sequence[str]) -> None:
    def evaluate(candidate: Candidate, fidelity: Fidelity, seed: int) -> Measurement:
        x = float(candidate.genotype["x"])
        return Measurement(fidelity=fidelity, seed=seed, metrics={"score": x**0.5, "loss": -x, "delay_ms": x})

    directions = {"score": "maximize", "loss": "minimize", "delay_ms": "minimize"}
    problem = Problem(
        name=HOSTILE,
        choices={"x": tuple(range(12)), "act": ("a", HOSTILE)},
        objectives={name: directions[name] for name in wanted},
        evaluate=evaluate,
        cost=lambda genotype: {name: 1.0 + float(genotype["x"]) for name in costs},
        caps=dict.fromkeys(costs[:1], 11.0),
    )
    view = solve(problem, 9, sampler="random")
    page = open_page(view)
    assert page.locator(POINTS).count() == len(view.records)
    assert "act " in _hover(page, 0)
    assert page.locator("section").first.locator("tbody tr").count() == len(view.front)
    assert page.locator("#plot .annotation-text").count() == bool(costs)
    assert not _overflows(page)


@pytest.mark.parametrize("case", ["empty", "running", "diverged"])
def test_a_study_without_a_measurement_is_a_whole_page(
    open_page: Open, make_view: MakeView, make_record: MakeRecord, case: str
) -> None:
    records = {"empty": [], "running": [make_record(0)], "diverged": [make_record(0, diverged=True)]}[case]
    page = open_page(make_view(records))
    assert page.locator(".note").text_content().startswith("Nothing to show: ")
    assert page.locator("script, #plot").count() == 0


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 800)])
def test_the_trust_meter_and_the_hours_are_drawn_and_fit(
    open_page: Open, make_view: MakeView, repeated: Sequence[TrialRecord], width: int, height: int
) -> None:
    page = open_page(make_view(repeated), width=width, height=height, curve=[(0.1, 0.2), (0.4, 0.5)])
    for name in ("trust", "mix", "hours"):
        page.wait_for_selector(f"#{name} .main-svg", state="attached")
        box = page.locator(f"#{name} .main-svg").first.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    assert page.locator("#trust .scatterlayer .trace").count() == 3
    assert page.locator("#trust .errorbars").count() == 3
    assert page.locator("#plot .errorbars path.yerror").count() > 0
    assert not _overflows(page)


def test_the_meter_follows_the_colours_of_the_screen(
    open_page: Open, make_view: MakeView, repeated: Sequence[TrialRecord]
) -> None:
    from playwright.sync_api import expect

    page = open_page(make_view(repeated))
    page.emulate_media(color_scheme="dark")
    expect(page.locator("#trust .main-svg").first).to_have_css("background-color", "rgb(20, 23, 26)")
