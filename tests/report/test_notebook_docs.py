"""The code of docs/notebook.md runs as it stands."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

import nas
from tests.report.browsing import make_study, run

PAGE = Path(nas.__file__).parents[1] / "docs" / "notebook.md"


def test_the_code_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(make_study(tmp_path / "results" / "first" / "study.db", "first"), 12)
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL))
    monkeypatch.chdir(tmp_path)
    Path("page.py").write_text(code, encoding="utf-8")
    found = runpy.run_path("page.py")
    assert str(int(found["front"]["trial"].iloc[0])) in capsys.readouterr().out
    assert {path.stem for path in tmp_path.glob("*.html")} == set(found["drawn"])
