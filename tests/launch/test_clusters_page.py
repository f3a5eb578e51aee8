"""The examples of docs/clusters.md: what a parser, systemd and our own commands say of them."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from nas.cli.app import app
from nas.launch import ray, slurm
from nas.launch.options import read_options

PAGE = (Path(__file__).parents[2] / "docs" / "clusters.md").read_text(encoding="utf-8")


def examples(language: str) -> list[str]:
    """Return the examples in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def job() -> dict[str, Any]:
    """Return the Kubernetes Job."""
    (text,) = examples("yaml")
    (found,) = [each for each in yaml.safe_load_all(text) if each["kind"] == "Job"]
    return dict(found)


def check_command(words: list[str]) -> None:
    """Parse a command line of `nas` as it would be; a usage error is raised."""
    command = get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    command.make_context(words[0], words[1:])


@pytest.mark.parametrize("line", [line for text in examples("bash") for line in text.replace("\\\n", " ").splitlines()])
def test_every_command_of_the_page_is_one(line: str) -> None:
    words = shlex.split(line)
    if words[0] != "nas":
        assert words[0] in {"pip", "export"}
        return
    check_command(words[1:])
    launcher = words[words.index("--launcher") + 1] if "--launcher" in words else ""
    given = [words[i + 1] for i, word in enumerate(words) if word == "--launch-option"]
    read_options(launcher, given, {"slurm": slurm.OPTIONS, "ray": ray.OPTIONS}.get(launcher, {}))


def test_every_option_of_slurm_is_on_the_page() -> None:
    assert [name for name in slurm.OPTIONS if f"`{name}`" not in PAGE and f"`{name}=" not in PAGE] == []


def test_the_job_of_kubernetes_starts_workers_and_hides_the_url() -> None:
    spec = job()["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert spec["completions"] == spec["parallelism"]
    assert (spec["completionMode"], pod["restartPolicy"]) == ("Indexed", "Never")
    assert container["command"][:3] == ["python", "-m", "nas.launch.relay"]
    check_command(container["command"][3:])
    variables = {each["name"]: each for each in container["env"]}
    assert "secretKeyRef" in variables["NAS_STORAGE"]["valueFrom"]
    mounted = {each["name"] for each in container["volumeMounts"]}
    assert mounted == {each["name"] for each in pod["volumes"]}


def test_the_unit_of_systemd_starts_a_worker(tmp_path: Path) -> None:
    (text,) = examples("ini")
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text)
    service = unit["Service"]
    assert (service["Restart"], service["KillSignal"], service["SuccessExitStatus"]) == ("on-failure", "SIGINT", "130")
    check_command(shlex.split(service["ExecStart"])[1:])
    if shutil.which("systemd-analyze"):
        path = tmp_path / "nas-worker@digits.service"
        path.write_text(text.replace("/opt/nas/bin/nas", f"{sys.executable} -m nas"))
        done = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True)
        assert [line for line in done.stderr.splitlines() if "nas-worker@" in line] == []
