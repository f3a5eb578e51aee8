"""`nas spaces` and `nas bench`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.space_file import load_space, shipped_spaces
from nas.space_size import size
from tests.cli.conftest import SPACE, Nas, space_file


def test_shipped_spaces_are_listed(nas: Nas) -> None:
    found = json.loads(nas("spaces", "list", "--json").out)
    assert [space["name"] for space in found] == sorted(shipped_spaces())
    assert {"digits", "nodepth", "paper_cast", "residual", "hybrid", "mcu", "cifar"} <= {
        space["name"] for space in found
    }
    table = nas("spaces", "list").out
    for space in found:
        assert space["networks"] == size(load_space(space["name"]))
        assert space["name"] in table


def test_a_space_is_shown_with_its_genes(nas: Nas) -> None:
    shown = json.loads(nas("spaces", "show", "digits", "--json").out)
    assert shown["genes"] == {gene.name: list(gene.values) for gene in load_space("digits").genes}
    table = nas("spaces", "show", "digits").out
    assert "8, 12, 16, 24" in table
    assert f"{shown['networks']:,} networks" in table


@pytest.mark.parametrize("command", ["show", "lint"])
def test_a_path_works_too(nas: Nas, tmp_path: Path, command: str) -> None:
    outcome = nas("spaces", command, space_file(tmp_path))
    assert (outcome.code, outcome.err) == (0, "")
    assert "little" in outcome.out


def test_lint_says_what_fits(nas: Nas, tmp_path: Path) -> None:
    report = json.loads(nas("spaces", "lint", space_file(tmp_path), "--cap", "700", "--json").out)
    assert 0 < report["feasible_share"] < 1
    assert report["smallest"]["params"] < 700 < report["largest"]["params"]
    assert (report["size"], report["idle_genes"]) == (24, [])
    assert (report["dead_values"], report["corner_faults"]) == ({}, [])
    assert report["caps"] == {"params": 700, "macs": None, "peak_activation_bytes": None}
    below = sum(size["members"] for size in report["sizes"] if size["most"] <= 700)
    assert below == 500 * report["feasible_share"]


def test_lint_draws_the_sizes_and_the_cap(nas: Nas, tmp_path: Path) -> None:
    lines = nas("spaces", "lint", space_file(tmp_path), "--cap", "700").out.splitlines()
    bars = [line for line in lines if line.lstrip().startswith("up to")]
    assert sum(int(bar.split()[3]) for bar in bars) == 500
    cap = next(i for i, line in enumerate(lines) if line.startswith("----the cap ---"))
    assert lines[cap - 1].split()[:3] == ["up", "to", "700"]


def test_lint_names_values_that_nothing_under_the_cap_uses(nas: Nas, tmp_path: Path) -> None:
    assert "stage1.width = 16" in nas("spaces", "lint", space_file(tmp_path), "--cap", "320").out


@pytest.mark.parametrize(
    ("key", "quantity", "cap", "words"),
    [
        ("macs", "macs", "12k", "12k MACs"),
        ("peak_activation", "peak_activation_bytes", "3k", "3kB of activations"),
    ],
)
def test_lint_keeps_to_the_other_caps_of_the_space(
    nas: Nas, tmp_path: Path, key: str, quantity: str, cap: str, words: str
) -> None:
    path = tmp_path / "tight.toml"
    path.write_text(SPACE.replace('cap = "2k"', f'cap = "2k"\n{key} = "{cap}"'))
    free, report = (json.loads(nas("spaces", "lint", each, "--json").out) for each in (space_file(tmp_path), path))
    assert report["caps"][quantity] == int(cap.replace("k", "000"))
    assert 0 < report["feasible_share"] < free["feasible_share"]
    assert words in nas("spaces", "lint", path).out
    path.write_text(SPACE.replace('cap = "2k"', f'cap = "2k"\n{key} = 100'))
    outcome = nas("spaces", "lint", path)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert f"no member of space 'little' fits under 100 {quantity}" in outcome.err


def test_lint_names_genes_that_cannot_matter(nas: Nas, tmp_path: Path) -> None:
    path = tmp_path / "idle.toml"
    path.write_text(SPACE.replace('["separable", "inverted"]', '"separable"') + "expansion = [1, 2]\n")
    assert "stage1.expansion" in nas("spaces", "lint", path).out


@pytest.mark.parametrize("command", ["show", "lint"])
def test_a_name_is_printed_as_it_is(nas: Nas, tmp_path: Path, command: str) -> None:
    path = tmp_path / "odd.toml"
    path.write_text(SPACE.replace('"little"', '"[red]odd[/] [/nothing]"'))
    outcome = nas("spaces", command, path)
    assert outcome.code == 0
    assert "[red]odd[/] [/nothing]" in outcome.out


def test_the_closed_form_is_timed_against_a_trace(nas: Nas, tmp_path: Path) -> None:
    path = tmp_path / "tight.toml"
    path.write_text(SPACE.replace('cap = "2k"', "cap = 500"))
    found = json.loads(nas("bench", "cost", "--space", path, "--members", 2, "--json").out)
    assert found["disagreements"] == 0
    assert set(found["seconds"]) == {"closed form", "build", "build and trace (fvcore)", "repair into the cap"}
    assert found["speedup"] > 1


def test_the_timing_is_a_table(nas: Nas, tmp_path: Path) -> None:
    outcome = nas("bench", "cost", "--space", space_file(tmp_path), "--members", 1)
    assert (outcome.code, outcome.err) == (0, "")
    assert "closed form and fvcore disagree on 0 of 1" in outcome.out
