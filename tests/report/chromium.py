"""Chromium for the tests of pages, and pages that must not do anything unasked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest

FLAGS = ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader"]

Visit = Callable[[str, int, int], Any]
"""Opens an address in a page of so many pixels' width and height."""


@contextmanager
def chromium() -> Iterator[Any]:
    """Give Chromium while inside; without one the tests are skipped, on CI they fail."""
    known = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        _give_up("playwright is not installed")
    with sync_playwright() as playwright:
        try:
            path = next(filter(None, known), None)  # None: the one that playwright has downloaded, if it has
            started = playwright.chromium.launch(executable_path=path, args=FLAGS)
        except Error as error:
            _give_up(f"chromium does not start: {str(error).strip().splitlines()[0]}")
        yield started
        started.close()


@contextmanager
def watched(browser: Any, *, counts: Callable[[str], bool] = lambda _: True) -> Iterator[Visit]:
    """Open pages while inside; they must show no dialog, log nothing that `counts`, and ask for nothing elsewhere."""
    context = browser.new_context(accept_downloads=True)
    faults: list[str] = []

    def visit(url: str, width: int, height: int) -> Any:
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.on("dialog", lambda dialog: (faults.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("console", lambda said: faults.append(f"console {said.text}") if counts(said.text) else None)
        page.on("pageerror", lambda error: faults.append(f"error {error}"))
        page.on("request", lambda asked: None if _is_own(asked.url, url) else faults.append(asked.url))
        page.goto(url)
        return page

    yield visit
    context.close()
    assert faults == []


def _is_own(asked: str, page: str) -> bool:
    """Return whether a page asks for itself or, of a server, for something of that server."""
    if asked.startswith(("data:", "blob:")):
        return True
    return asked == page if page.startswith("file:") else asked.startswith(page.split("/?")[0])


def _give_up(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
