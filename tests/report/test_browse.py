"""The browser's server without a browser: who gets in, what it may do to a database, and what leaves it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

import nas
from nas.errors import StudyError
from nas.report import figures
from nas.report.browse.elements import command, to_html
from nas.report.dataset import RETRAINED, dataset, retrained
from nas.search.glance import glances, spans, stamp
from nas.search.read_only import first_line, open_read_only, reachable
from nas.search.storage import sqlite_url
from nas.search.study import Study
from tests.report.browsing import make_study, run, serving


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the database of a study of 20 jobs, in a folder of results."""
    path = tmp_path_factory.mktemp("results") / "tiny" / "study.db"
    run(make_study(path), 20)
    return path


def _status(url: str, **headers: str) -> int:
    try:
        return int(urlopen(Request(url, headers=headers), timeout=10).status)
    except HTTPError as error:
        with error:
            return error.code


def test_without_the_token_nothing_is_given(tmp_path: Path) -> None:
    with serving(tmp_path, token="secret") as url:
        for path in ("/", "/plotly.min.js", "/_dash-layout", "/data/study?study=x", "/assets/front.js"):
            assert _status(url + path) == 403
            assert _status(url + path + ("&" if "?" in path else "?") + "token=wrong") == 403
        assert _status(f"{url}/?token=secret") == 200
        assert _status(f"{url}/_dash-layout", Cookie="nas-token=secret") == 200


def test_a_page_under_another_name_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path) as url:
        assert _status(url) == 200
        assert _status(url, Host="evil.example:80") == 403


def test_every_answer_carries_the_policy(tmp_path: Path) -> None:
    with serving(tmp_path) as url, urlopen(url, timeout=10) as answer:
        policy = answer.headers["Content-Security-Policy"]
        page = answer.read().decode()
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert "https://" not in page


def test_the_columns_of_a_study_are_sent(database: Path) -> None:
    with serving(database.parents[1]) as url, urlopen(f"{url}/data/study?study=tiny", timeout=20) as answer:
        data = json.loads(gzip.decompress(answer.read()))
    view = Study.open(open_read_only(sqlite_url(database)), "tiny").view()
    assert data["trials"] == [record.number for record in view.records]
    assert sum(data["compared"]) == len(view.compared)
    assert data["columns"]["params"] == [record.cost.params for record in view.records]


def test_an_unknown_study_is_one_line(database: Path) -> None:
    with serving(database.parents[1]) as url:
        with pytest.raises(HTTPError) as caught:
            urlopen(f"{url}/data/study?study=other", timeout=10)
        with caught.value as answer:
            assert "unknown study 'other'" in answer.read().decode()


def test_a_database_that_is_read_cannot_be_written(database: Path) -> None:
    study = Study.open(open_read_only(sqlite_url(database)), "tiny")
    with pytest.raises(Exception, match=r".") as caught:
        study.extend(500)
    assert "readonly" in first_line(caught.value)


def test_the_stamp_changes_with_every_trial(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study.db")
    storage = open_read_only(sqlite_url(tmp_path / "study.db"))
    before = stamp(storage, "tiny")
    run(study, 1)
    after = stamp(storage, "tiny")
    assert before != after == stamp(storage, "tiny")
    (glance,) = glances(storage)
    assert (glance.config.name, glance.n_trials, glance.trials) == ("tiny", 100, {"complete": 1})
    (span,) = spans(storage, "tiny", 10)
    assert (span.number, span.kind, span.state) == (0, "candidate", "complete")


def test_a_database_that_is_gone_is_one_line(tmp_path: Path) -> None:
    make_study(tmp_path / "study.db")
    url = sqlite_url(tmp_path / "study.db")
    storage = open_read_only(url)
    storage.engine.dispose()
    (tmp_path / "study.db").unlink()
    with pytest.raises(StudyError, match="cannot be read: no such file"), reachable(url):
        stamp(storage, "tiny")


def test_elements_are_escaped() -> None:
    assert "<b>" not in to_html(command("<b>", 'nas show "<b>"'))


def test_the_columns_of_a_study_take_no_architecture(tmp_path: Path, database: Path) -> None:
    """Of ten thousand, reading them takes longer than all the rest."""
    view = Study.open(open_read_only(sqlite_url(database)), "tiny").view()
    assert dataset(view, more=retrained(tmp_path, view))["trials"]
    assert not any("architecture" in vars(record) for record in view.records)


def test_retrained_accuracies_appear_when_there_are_some(tmp_path: Path, database: Path) -> None:
    view = Study.open(open_read_only(sqlite_url(database)), "tiny").view()
    assert retrained(tmp_path, view) == {}
    arch_id = view.records[3].arch_id
    rest = {"top5": 0.9, "loss": 1.0, "calibration_error": 0.1}
    half, more = (json.dumps({"test": {"top1": top1, **rest}}) for top1 in (0.5, 0.7))
    for name, text in (("0", half), ("1", more), ("2", "broken")):
        (tmp_path / "retrain" / arch_id / "tiny" / name).mkdir(parents=True)
        (tmp_path / "retrain" / arch_id / "tiny" / name / "metrics.json").write_text(text)
    found = retrained(tmp_path, view)
    assert found == {RETRAINED: {3: pytest.approx(0.6)}}
    assert dataset(view, more=found)["columns"][RETRAINED][3] == 0.6


def test_a_study_is_a_data_frame(database: Path) -> None:
    frame = nas.load_study("tiny", results=database.parents[1])
    view = Study.open(open_read_only(sqlite_url(database)), "tiny").view()
    assert list(frame["trial"]) == [record.number for record in view.records]
    assert frame["front"].sum() == len(view.front)
    with pytest.raises(StudyError, match=r"unknown study 'tini'.*tiny"):
        nas.load_study("tini", results=database.parents[1])


def test_every_figure_can_be_called_by_name(database: Path) -> None:
    study = Study.open(open_read_only(sqlite_url(database)), "tiny")
    records, config = study.records(), study.config
    one = study.view().front[0]
    assert len(figures.front(records, config).data) > 1
    assert figures.hypervolume(records, config).data[0].y[-1] > 0
    assert len(figures.history(records, config).data) == 2 * len(config.objectives)
    assert figures.rungs(records, config).data[0].x[0] == len(records)
    assert figures.feasibility(records, config).data[0].y[-1] == 100
    assert any(trace.name == "depthwise (broader: larger kernel)" for trace in figures.network(one, config).data)
    assert sum(figures.costs(one, config).data[0].x) == pytest.approx(100)
    assert max(figures.curves(one).data[0].x) <= config.fidelities[-1].epochs
    assert figures.interference(one, records, config).data[0].y[0] == "interference"
    assert figures.timeline(spans(study.storage, "tiny", 100)).data[0].name == "first rung"
