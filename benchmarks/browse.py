"""How long does the browser of studies keep its reader waiting, in a real Chromium, and what does its server take?

    python benchmarks/browse.py [--trials 10000] [--repeats 5]

The study is that of `benchmarks/large_study.py` (space `hybrid`, made-up measurements) with four objectives: validation
accuracy, params, MACs and interference. The server is a process of its own. *Start page* and *study* are timed from
asking for the address to the table, or to a front that is drawn and answers; the first study of a server is read from
the database then, later ones were read before. *Cap* is one move of a slider to the next frame that the browser paints,
*brush* from letting the mouse go to the row count and that frame. Writes `benchmarks/results/browse.json`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import large_study
from playwright.sync_api import Page, sync_playwright

from nas.budget import Budget
from nas.members import NetworkMembers
from nas.records import StudyConfig
from nas.results import StudyFolder, environment, write_whole
from nas.search.glance import stamp
from nas.search.read_only import open_read_only
from nas.search.storage import sqlite_url
from nas.space_file import load_space

RESULT = Path(__file__).parent / "results" / "browse.json"
OBJECTIVES = ("val_accuracy", "params", "macs", "interference")
FLAGS = ["--no-sandbox", "--enable-unsafe-swiftshader"]
POSITIONS = (40, 160, 80, 120, 20, 200)
"""Of the slider, of 200."""
CAP = """(position) => new Promise((done) => {
  const slider = document.getElementById("cap-params"), began = performance.now();
  slider.value = position;
  slider.dispatchEvent(new Event("input"));
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
})"""
BRUSH = """() => new Promise((done) => {
  let began;
  addEventListener("mouseup", () => { began = performance.now(); }, { capture: true, once: true });
  const observer = new MutationObserver(() => {
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
  });
  observer.observe(document.getElementById("front"), { attributeFilter: ["data-brushed"] });
})"""
"""Until the next picture after the table has followed: the plot says what was selected some time after the mouse."""


def make(results: Path, count: int) -> StudyFolder:
    """Make the study."""
    folder = StudyFolder(results / f"of{count}")
    folder.prepare()
    usual = large_study.study_config

    def with_four(name: str) -> StudyConfig:
        return usual(name).model_copy(update={"objectives": OBJECTIVES})

    with patch.object(large_study, "study_config", with_four):
        members = NetworkMembers(load_space(large_study.SPACE), Budget(params=large_study.CAP))
        large_study.fill(folder.database, folder.path.name, members, count)
    return folder


@contextmanager
def serving(results: Path, *study: str) -> Iterator[tuple[str, int]]:
    """Run `nas browse` while inside; give its address and its process."""
    line = [sys.executable, "-m", "nas", "browse", *study, "--results", str(results), "--port", "0"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip().split("?")[0].rstrip("/"), process.pid
        finally:
            process.terminate()


def peak_mib(pid: int) -> float:
    """Return the most memory that a process has had."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(next(line for line in text.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def seconds_to(page: Page, url: str, selector: str) -> float:
    """Return how long a page takes until an element is there."""
    page.goto("about:blank")
    started = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_selector(selector, timeout=120_000)
    return time.perf_counter() - started


def caps(page: Page) -> list[float]:
    """Return milliseconds of cap changes."""
    return [page.evaluate(CAP, position) for position in POSITIONS]


def brushes(page: Page, repeats: int) -> list[float]:
    """Return milliseconds of brushes over parts of the plot."""
    box = page.locator("#plot .nsewdrag").first.bounding_box()
    assert box is not None
    found = []
    for i in range(repeats):
        waiting = page.evaluate_handle(f"() => {{ window.brushed = ({BRUSH})(); }}")
        page.mouse.move(box["x"] + box["width"] * 0.1 * (1 + i % 4), box["y"] + box["height"] * 0.1)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.6, steps=5)
        page.mouse.up()
        found.append(float(page.evaluate("window.brushed")))
        waiting.dispose()
    return found


def measure(results: Path, folder: StudyFolder, repeats: int) -> dict[str, Any]:
    """Return all figures."""
    name = folder.path.name
    found: dict[str, Any] = {}
    with sync_playwright() as playwright:
        path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        with serving(results) as (url, pid):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            found["start page, s"] = [seconds_to(page, url, "table") for _ in range(repeats)]
            found["study, first, s"] = [seconds_to(page, f"{url}/?study={name}", "#trials tbody tr")]
            found["study, s"] = [seconds_to(page, f"{url}/?study={name}", "#trials tbody tr") for _ in range(repeats)]
            found["cap, ms"] = caps(page)
            found["brush, ms"] = brushes(page, repeats)
            found["server with the front, MiB"] = [peak_mib(pid)]
            found["candidate, s"] = []
            for i in range(repeats):
                started = time.perf_counter()
                number = page.locator("button.open").nth(i).inner_text()
                page.locator("button.open").nth(i).click()
                page.wait_for_selector(f".candidate:has(h2:text-is('Trial {number}')) .figure .main-svg")
                found["candidate, s"].append(time.perf_counter() - started)
                page.keyboard.press("Escape")
            address = f"{url}/?study={name}&view=search"
            found["search, s"] = [seconds_to(page, address, ".search .figure .main-svg")]
            found["server in all, MiB"] = [peak_mib(pid)]
        browser.close()
    storage = open_read_only(sqlite_url(folder.database))
    found["query of a live update, ms"] = []
    for _ in range(repeats):
        started = time.perf_counter()
        stamp(storage, name)
        found["query of a live update, ms"].append(1e3 * (time.perf_counter() - started))
    page_path = results / "page.html"
    started = time.perf_counter()
    line = [sys.executable, "-m", "nas", "report", name, "--results", str(results), "--html", str(page_path)]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    found["nas report --html, s"] = [time.perf_counter() - started]
    found["page, MB"] = [page_path.stat().st_size / 1e6]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as results:
        folder = make(Path(results), arguments.trials)
        found = measure(Path(results), folder, arguments.repeats)
    for name, values in found.items():
        print(f"{name:28} median {median(values):8.3g}, most {max(values):8.3g}  ({len(values)})")
    content = {"trials": arguments.trials, "objectives": OBJECTIVES, "measured": found, "environment": environment()}
    write_whole(RESULT, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
