"""`nas report` and `nas browse` as a user meets them first."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from nas.cli import run as nas
from tests.report.browsing import make_study, run


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of results with one small study."""
    folder = tmp_path_factory.mktemp("results")
    run(make_study(folder / "tiny" / "study.db"), 8)
    return folder


def test_the_page_is_written(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "tiny.html"
    assert nas(["report", "tiny", "--results", str(results), "--html", str(page)]) == 0
    assert "the page:" in capsys.readouterr().out
    assert page.stat().st_size < 10e6
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report", "tiny"], "nothing to write: give --html FILE"),
        (["report", "tony", "--html", "x.html"], "unknown study 'tony'"),
        (["report", "tiny", "--png", "x.svg"], "must end in .png"),
        (["browse", "tony"], "unknown study 'tony'"),
        (["browse", "--host", "203.0.113.7", "--port", "1"], "--host 203.0.113.7 --port 1: cannot be served"),
        (["browse", "--storage", "nonsense"], "not a database URL"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], words: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert nas([*arguments, *([] if "--storage" in arguments else ["--results", str(results)])]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_picture_without_kaleido_says_how(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.report.images.find_spec", lambda _: None)
    assert nas(["report", "tiny", "--results", str(results), "--png", str(tmp_path / "x.png")]) == 2
    assert "kaleido is not installed: pip install 'nas[images]'" in capsys.readouterr().err


@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium to draw with")
def test_a_picture_is_drawn(results: Path, tmp_path: Path) -> None:
    pytest.importorskip("kaleido")
    assert nas(["report", "tiny", "--results", str(results), "--svg", str(tmp_path / "x.svg")]) == 0
    assert "<svg" in (tmp_path / "x.svg").read_text(encoding="utf-8")


def test_ctrl_c_ends_the_browser(results: Path) -> None:
    line = [sys.executable, "-m", "nas", "browse", "tiny", "--results", str(results), "--port", "0"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        with urlopen(url, timeout=20) as answer:
            assert answer.status == 200
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
