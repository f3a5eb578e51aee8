"""`--launcher`, its options and NAS_STORAGE: what is refused, in which words, before anything is written."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nas.launch.keep import Keeper, verdict
from tests.cli.conftest import Finished, Nas, finished, nas

__all__ = ["finished", "nas"]
LOCAL = "--launcher slurm --workers 2 --launch-option cluster=local"


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ("--launcher slrum", "unknown launcher 'slrum'; did you mean 'slurm'? (known: local, ray, slurm)"),
        ("--launch-option a=b", "--launch-option a=b: the local launcher has none"),
        ("--address auto", "--address is of --launcher ray; the local launcher has none"),
        (f"{LOCAL} --address auto", "--address is of --launcher ray; the slurm launcher has none"),
        ("--launcher ray --launch-option num_gpus", "--launch-option num_gpus: must be KEY=VALUE"),
        (
            "--launcher ray --launch-option gpus=1",
            "--launch-option of ray: unknown option 'gpus'; did you mean 'num_gpus'? (known: num_cpus, num_gpus)",
        ),
        (
            "--launcher ray --launch-option num_gpus=1.5",
            "--launch-option num_gpus must be a share of one, such as 0.25, or a whole number, got '1.5'",
        ),
        (
            "--launcher ray --launch-option num_gpus=1 --launch-option num_gpus=1",
            "--launch-option num_gpus: given twice",
        ),
        ("--launcher slurm --launch-option cluster=x", "--launch-option cluster must be slurm or local, got 'x'"),
        (
            f"{LOCAL} --launch-option time=5",
            "--launch-option time: cluster=local runs on this machine and takes no other",
        ),
        ("--launcher slurm --launch-option cluster=local", "--launcher slurm: say how many workers by --workers N"),
        (
            "--launcher ray --workers 2 --address ray://host:1",
            "--address must be auto or HOST:PORT, got 'ray://host:1'; run it on a machine of the cluster",
        ),
        (
            "--launcher ray --workers 2",
            "--launcher ray: its workers run on several machines, which cannot share a SQLite file; "
            "give --storage postgresql://… or mysql://…, or set NAS_STORAGE",
        ),
        (
            "--launcher slurm --launch-option cluster=local --workers 9",
            "--workers: at most 8 workers share a SQLite file, got 9; "
            "give --storage postgresql://… or mysql://… for more",
        ),
    ],
)
def test_what_a_launcher_cannot_do_is_one_line_and_nothing_is_written(
    given: str, fault: str, nas: Nas, tmp_path: Path
) -> None:
    pytest.importorskip("ray" if "ray" in given else "submitit" if "slurm" in given else "nas")
    outcome = nas("search", "--space", "digits", "--results", tmp_path / "results", *given.split())
    assert (outcome.code, outcome.out, outcome.err) == (2, "", f"nas: {fault}\n")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(("launcher", "library"), [("slurm", "submitit"), ("ray", "ray")])
def test_a_missing_library_is_named_with_its_extra(
    launcher: str, library: str, nas: Nas, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    outcome = nas("search", "--launcher", launcher, "--workers", 2, "--results", tmp_path / "results")
    assert outcome.err == f"nas: --launcher {launcher}: {library} is not installed; pip install 'nas[cluster]'\n"
    assert outcome.code == 2


def test_slurm_without_its_programs_says_where_to_run_it(
    nas: Nas, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setattr("shutil.which", lambda _: None)
    outcome = nas("search", "--launcher", "slurm", "--workers", 2, "--results", tmp_path / "results")
    assert outcome.err.startswith("nas: --launcher slurm: no sbatch on this machine; run it on a login node")
    assert outcome.code == 2


def test_a_cluster_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    from nas.errors import NasError
    from nas.launch.crew import Order
    from nas.launch.ray import Ray

    def absent(**_: object) -> None:
        raise ConnectionError("could not find any running Ray instance.\nmore")

    monkeypatch.setattr(ray, "init", absent)
    crew = Ray(address="auto").crew(Order([], 1, Path("nowhere")))
    with pytest.raises(NasError, match=r"no cluster at --address auto: could not find any running Ray instance\.$"):
        crew.__enter__()


def test_the_database_may_stand_in_the_environment(
    finished: Finished, nas: Nas, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NAS_STORAGE", f"sqlite:///{finished.results}/little/study.db")
    outcome = nas("status", "little", "--results", tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    other = nas("status", "little", "--storage", f"sqlite:///{tmp_path}/no.db")
    assert (other.code, other.err) == (2, f"nas: storage sqlite:///{tmp_path}/no.db: no such file\n")


def test_a_worker_that_dies_at_once_is_not_started_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python` being a script that is killed: the third time in a row is the last."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho begun\nkill -9 $$\n")
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    said = b"".join(Keeper([], {}, ".").said()).decode().splitlines()
    assert said.count("begun") == 3
    assert said.count("worker died: killed by SIGKILL; it starts again") == 2
    assert said[-1] == "worker ended: killed by SIGKILL"


def test_a_verdict_is_found_below_what_a_scheduler_adds(tmp_path: Path) -> None:
    log = tmp_path / "1.log"
    log.write_text("trial 1\nworker ended: no such study\nsrun: error: task 0: Exited with exit code 1\n")
    assert verdict(log) == "no such study"
    log.write_text("worker ended: earlier\n" + "trial 1\n" * 4)
    assert verdict(log) == ""
    assert verdict(tmp_path / "none.log") == ""
