"""`nas browse` in a real browser: it draws, derives, follows a search, and runs nothing but its own."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from nas import pareto
from nas.budget import Budget
from nas.effort import Box
from nas.report.browse.offline import offline_html
from nas.report.browse.panels import Where
from nas.search.read_only import open_read_only
from nas.search.storage import sqlite_url
from nas.search.study import Study
from nas.view import StudyView
from tests.report.browsing import make_study, run, serving
from tests.report.chromium import watched

Open = Callable[..., Any]

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&lt;b&gt;"
READY = "#plot .main-svg"


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Open an address."""
    with watched(browser, counts=_counts) as visit:

        def open_it(url: str, *, width: int = 1280, height: int = 900, wait: str = READY) -> Any:
            page = visit(url, width, height)
            page.wait_for_selector(wait, timeout=20_000)
            return page

        yield open_it


def _counts(text: str) -> bool:
    """Say whether a message counts: not those of graphics without a GPU, and of a killed database."""
    return not any(word in text for word in ("WebGL", "GL Driver", "Canvas2D", "503", "GPU stall"))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a study of 60 jobs that nobody changes."""
    path = tmp_path_factory.mktemp("results") / "tiny" / "study.db"
    run(make_study(path), 60)
    return path


@pytest.fixture(scope="module")
def url(database: Path) -> Iterator[str]:
    """Give the address of the server of that study."""
    with serving(database.parents[1]) as address:
        yield address


@pytest.fixture(scope="module")
def view(database: Path) -> StudyView:
    """Give what stands in the database."""
    return Study.open(open_read_only(sqlite_url(database)), "tiny").view()


def _study(url: str, name: str = "tiny", **more: str) -> str:
    return f"{url}/?{urlencode({'study': name, **more})}"


def _rows(page: Any) -> list[str]:
    return [str(cell) for cell in page.locator("#trials button.open").all_inner_texts()]


def _volume(page: Any) -> str:
    return str(page.inner_text("#volume"))


def test_the_start_page_leads_to_the_study(open_page: Open, url: str) -> None:
    page = open_page(url, wait="table")
    assert "done" not in page.inner_text("tbody")
    page.click("a:has-text('tiny')")
    page.wait_for_selector(READY)
    assert page.inner_text("h1") == "tiny"


def test_the_front_and_its_volume_are_those_of_the_library(open_page: Open, url: str, view: StudyView) -> None:
    page = open_page(_study(url))
    page.fill("#filter", "front")
    assert sorted(_rows(page)) == sorted(str(record.number) for record in view.front)
    box = Box.around([view.metrics(record) for record in view.compared], view.deciding)
    expected = box.grown([box.places([view.metrics(record) for record in view.compared])])[-1]
    assert f"hypervolume {expected:.4f} of the box" in _volume(page)


def test_hypervolumes_of_four_objectives_are_those_of_moocore(open_page: Open, url: str) -> None:
    page = open_page(_study(url))
    points = [[((7 * i + 13 * k + i * i * k) % 101) / 100 for k in range(4)] for i in range(80)]
    wanted = [pareto.Objective(str(k), "minimize") for k in range(4)]
    given = [{str(k): x for k, x in enumerate(point)} for point in points]
    expected = pareto.hypervolume(given, wanted, {str(k): 1.1 for k in range(4)}) / 1.1**4
    code = "(p) => geometry.hypervolume([0, 1, 2, 3].map((k) => p.map((q) => q[k])), p.map((_, i) => i))"
    assert page.evaluate(code, points) == pytest.approx(expected)
    front = page.evaluate(code.replace("hypervolume", "front"), points)
    assert front == pareto.front(given, wanted)


def test_a_cap_derives_the_front_again(open_page: Open, url: str, database: Path) -> None:
    page = open_page(_study(url))
    before = _volume(page)
    page.focus("#cap-params")
    for _ in range(6):
        page.keyboard.press("PageDown")  # the sliders are the keyboard's, too
    assert _volume(page) != before
    cap = page.evaluate("(document.querySelector('#cap-params').getAttribute('aria-valuetext'))")
    study = Study.open(open_read_only(sqlite_url(database)), "tiny")
    page.fill("#filter", "front")
    params = [int(text.replace(",", "")) for text in page.locator("#trials tbody tr td:nth-child(5)").all_inner_texts()]
    capped = StudyView.of(study.config, study.records(), budget=Budget(params=max(params)))
    assert f"parameters \u2264 {cap}" in _volume(page)
    assert sorted(_rows(page)) == sorted(str(record.number) for record in capped.front)


def test_axes_can_be_chosen(open_page: Open, url: str) -> None:
    page = open_page(_study(url))
    page.select_option("#x", "macs")
    page.check("#ylog")
    assert page.text_content("#plot .xtitle") == "MACs"
    assert page.evaluate("document.getElementById('plot')._fullLayout.yaxis.type") == "log"
    page.select_option("#z", "interference")
    page.wait_for_function("document.getElementById('plot')._fullLayout.scene !== undefined")


def test_brushing_selects_rows(open_page: Open, url: str) -> None:
    page = open_page(_study(url))
    box = page.locator("#plot .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    page.wait_for_selector("#front[data-brushed]")
    some = int(page.inner_text("#row-count").split()[0])
    page.click("text=Reset")
    assert 0 < some < int(page.inner_text("#row-count").split()[0])


def test_a_candidate_opens_and_its_commands_can_be_copied(open_page: Open, url: str, view: StudyView) -> None:
    page = open_page(_study(url))
    number = view.front[0].number
    page.fill("#filter", str(number))
    page.click("button.open")
    page.wait_for_selector(".candidate .figure .main-svg")
    words = page.inner_text("#candidate")
    assert f"Trial {number}" in words
    assert view.front[0].arch_id in words
    assert f"nas show tiny {number} --results" in words
    assert page.locator(".candidate .figure .main-svg").count() >= 4
    page.keyboard.press("Escape")
    assert page.locator("#drawer").is_hidden()


def test_candidates_are_compared_gene_by_gene(open_page: Open, url: str, view: StudyView) -> None:
    page = open_page(_study(url))
    page.locator("#trials input").nth(0).check()
    page.locator("#trials input").nth(1).check()
    numbers = [int(number) for number in _rows(page)[:2]]
    page.click("#compare")
    page.wait_for_selector(".comparison .differs")
    one, other = (next(r for r in view.records if r.number == number) for number in numbers)
    differ = {name for name in one.genotype if one.genotype[name] != other.genotype.get(name)}
    marked = {text.removeprefix("\u2260 ") for text in page.locator(".differs th").all_inner_texts()}
    assert marked & set(one.genotype) == differ


def test_the_table_is_saved_as_it_is_shown(open_page: Open, url: str, view: StudyView) -> None:
    page = open_page(_study(url))
    page.fill("#filter", "front")
    with page.expect_download() as saved:
        page.click("#save-csv")
    rows = list(csv.DictReader(Path(saved.value.path()).read_text(encoding="utf-8").splitlines()))
    assert {int(row["trial"]) for row in rows} == {record.number for record in view.front}
    with page.expect_download() as saved:
        page.click("#save-json")
    content = json.loads(Path(saved.value.path()).read_text(encoding="utf-8"))
    assert {row["params"] for row in content} == {record.cost.params for record in view.front}


def test_the_search_is_drawn(open_page: Open, url: str) -> None:
    page = open_page(_study(url, view="search"), wait=".search .figure .main-svg")
    titles = page.locator(".search h3").all_inner_texts()
    assert {"Hypervolume over trials", "Rungs", "Workers", "What would fit"} <= set(titles)
    assert page.locator("#front").is_hidden()


def test_it_follows_a_search_that_runs(open_page: Open, tmp_path: Path) -> None:
    study = make_study(tmp_path / "live" / "study.db", "live")
    with serving(tmp_path) as url:
        page = open_page(_study(url, "live"), wait="#volume:not(:empty)")
        assert "no trial has been started yet" in _volume(page)
        run(study, 1)
        page.wait_for_selector("#row-count:has-text('1 of 1 trial')", timeout=15_000)


def test_it_follows_the_command_that_searches_beside_it(open_page: Open, tmp_path: Path) -> None:
    make_study(tmp_path / "other" / "study.db", "other")
    asked = ["--study", "live", "--results", str(tmp_path), "--trials", "3", "--epochs", "1", "--finalists", "0"]
    with serving(tmp_path) as url, subprocess.Popen([sys.executable, "-m", "nas", "search", *asked]) as search:
        try:
            page = open_page(url, wait="tbody a")
            page.click("tbody a:has-text('live')", timeout=120_000)
            page.wait_for_selector("#row-count:has-text('3 of 3 trials')", timeout=120_000)
            assert search.wait(timeout=120) == 0
        finally:
            search.kill()
        page.wait_for_selector("#facts:has-text('3 evaluated')", timeout=20_000)


def test_a_database_that_goes_away_is_said_and_one_that_comes_back_is_read(open_page: Open, tmp_path: Path) -> None:
    path = tmp_path / "gone" / "study.db"
    run(make_study(path, "gone"), 2)
    with serving(tmp_path) as url:
        page = open_page(_study(url, "gone"))
        path.rename(tmp_path / "elsewhere")
        page.wait_for_selector("#notice:has-text('cannot be read')", timeout=60_000)
        assert _rows(page) == ["0", "1"]
        (tmp_path / "elsewhere").rename(path)
        page.wait_for_selector("#notice:empty", state="attached", timeout=60_000)


def test_hostile_names_stay_text(open_page: Open, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    run(make_study(path, HOSTILE, data=HOSTILE, space_name=HOSTILE), 4)
    with serving(tmp_path, sqlite_url(path)) as url:
        page = open_page(url, wait="table")
        assert page.inner_text("tbody a") == HOSTILE
        page = open_page(_study(url, HOSTILE))
        assert page.inner_text("h1") == HOSTILE
        page.click("button.open >> nth=0")
        page.wait_for_selector(".candidate .figure .main-svg")
        assert page.locator("img").count() == 0
        page = open_page(_study(url, HOSTILE, view="search"), wait=".search .figure .main-svg")
        assert page.locator("img").count() == 0


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_the_one_file_has_the_same_views(
    open_page: Open, view: StudyView, tmp_path: Path, width: int, scheme: str
) -> None:
    page_path = tmp_path / "page.html"
    page_path.write_text(
        offline_html([("tiny", view)], {"tiny": {}}, [], Where("tiny"), {}, tmp_path), encoding="utf-8"
    )
    page = open_page(page_path.as_uri(), width=width)
    page.emulate_media(color_scheme=scheme)
    assert not page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    page.fill("#filter", "front")
    assert sorted(_rows(page)) == sorted(str(record.number) for record in view.front)
    page.click("button.open >> nth=0")
    page.wait_for_selector("#one .figure .main-svg")
    page.click("#close")
    page.click("a:has-text('Search')")
    page.wait_for_selector(".search .figure .main-svg")
