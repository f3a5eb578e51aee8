"""`nas enqueue`: what it takes, what it refuses in one line, and a search that trains it first."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from nas.architecture import Architecture, Head, Stage, Stem
from nas.blocks import Block
from nas.budget import cost
from nas.feasibility import genotype_cost
from nas.search.problem import solve
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from nas.space import GeneValue
from tests.cli.conftest import TRIALS, Finished, Nas
from tests.core.examples import block, config
from tests.search.test_enqueue import LARGE, WANTED, table


@pytest.fixture
def copy(finished: Finished, tmp_path: Path) -> Finished:
    """Give a study of the test's own, of five trials that are done."""
    shutil.copytree(finished.results, tmp_path / "results")
    return Finished(tmp_path / "results", finished.outcome)


def one_gene_away(study: Finished) -> tuple[int, str, dict[str, GeneValue]]:
    """Return a trial, a setting, and the genotype of a new network within the cap that they make."""
    opened = study.open()
    space, seen = opened.config.space, {record.arch_id for record in opened.records()}
    for record in opened.records():
        for gene in space.genes:
            for value in gene.values:
                genotype = space.canonical({**record.genotype, gene.name: value})
                fits = not opened.config.budget.violations(genotype_cost(space, genotype))
                if fits and space.decode(genotype).arch_id not in seen:
                    return record.number, f"{gene.name}={value}", genotype
    raise AssertionError("no such network")


def refused(nas: Nas, study: Finished, *arguments: object) -> str:
    """Return the one line that a command is refused with."""
    outcome = nas("enqueue", "little", *arguments, *study.where[1:])
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert len(study.open().records()) == TRIALS
    return outcome.err


def test_an_enqueued_network_is_trained_first_and_beyond_the_trials(copy: Finished, nas: Nas) -> None:
    trial, setting, genotype = one_gene_away(copy)
    outcome = nas("enqueue", "little", trial, "--set", setting, *copy.where[1:])
    assert (outcome.code, outcome.err) == (0, "")
    first, size, following = outcome.out.splitlines()
    words = copy.open().config.space.decode(genotype).words()
    assert first == f"enqueued as trial {TRIALS} of study little: {words}"
    assert size.startswith(f"{genotype_cost(copy.open().config.space, genotype).params:,} params, ")
    assert json.loads(nas("status", *copy.where, "--json").out)["waiting"] == 1
    command = shlex.split(following.removeprefix("next: ").split("   (")[0])
    assert command[:4] == ["nas", "search", "--study", "little"]

    search = nas(*command[1:], "--trials", TRIALS + 2)
    assert search.code == 0, search.err
    lines = [line for line in search.err.splitlines() if line.startswith("[")]
    assert lines[0].startswith(f"[{TRIALS + 1}/{TRIALS + 2}] trial {TRIALS} (1 epochs, ")
    records = copy.open().records()
    assert [dict(record.genotype) for record in records].index(genotype) == TRIALS
    assert all(record.measurements for record in records)
    assert len(records) == TRIALS + 2
    assert copy.open().is_done


def test_a_file_of_an_architecture_is_found_in_the_space(copy: Finished, nas: Nas, tmp_path: Path) -> None:
    *_, genotype = one_gene_away(copy)
    network = copy.open().config.space.decode(genotype)
    (tmp_path / "network.json").write_text(network.model_dump_json(indent=2))
    outcome = nas("enqueue", *copy.where[:1], tmp_path / "network.json", *copy.where[1:], "--json")
    assert (outcome.code, outcome.err) == (0, "")
    row = json.loads(outcome.out)
    assert (row["study"], row["trial"], row["arch_id"]) == ("little", TRIALS, network.arch_id)
    assert row["genotype"] == genotype
    assert row["cost"] == cost(network, copy.open().config.target.task).model_dump()
    assert row["run"].startswith("nas search --study little --results ")


def test_a_file_of_a_genotype_may_be_edited(copy: Finished, nas: Nas, tmp_path: Path) -> None:
    trial, setting, genotype = one_gene_away(copy)
    before = copy.open().records()[trial].genotype
    (tmp_path / "genes.json").write_text(json.dumps(dict(before)))
    outcome = nas("enqueue", "little", tmp_path / "genes.json", "--set", setting, *copy.where[1:], "--json")
    assert json.loads(outcome.out)["genotype"] == genotype


def test_hours_that_are_used_up_are_told(copy: Finished, nas: Nas) -> None:
    copy.open().extend(max_hours=1e-9)
    trial, setting, _ = one_gene_away(copy)
    outcome = nas("enqueue", "little", trial, "--set", setting, *copy.where[1:])
    assert outcome.out.endswith("the study's 1e-09 hours are used: it waits for a higher --max-hours\n")


def test_a_gene_that_nothing_reads_is_refused(nas: Nas, tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "study.db")
    Study.create(open_storage(url, create=True), config(), 4)
    (tmp_path / "genes.json").write_text(json.dumps(WANTED))
    given = ["enqueue", "study", tmp_path / "genes.json", "--storage", url, "--set"]
    outcome = nas(*given, "stage1.expansion=2")  # of a separable block
    assert (outcome.code, outcome.out) == (2, "")
    assert "--set stage1.expansion=2: changes nothing: no part of this network reads" in outcome.err
    changed = nas(*given, "network.activation=relu", "--json")
    assert json.loads(changed.out)["genotype"] == WANTED | {"network.activation": "relu"}


def test_a_network_that_a_trial_has_is_refused_with_its_number(finished: Finished, nas: Nas) -> None:
    assert refused(nas, finished, "3") == "nas: study 'little': trial 3 has this network already\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing argument 'FILE|TRIAL'"),
        (["--set", "stem.width=4"], "Missing argument 'FILE|TRIAL'"),
        (["99"], "study 'little': no trial 99; it has 5, numbered from 0"),
        (["nowhere.json"], "'nowhere.json' is neither a file nor the number of a trial of study little"),
        (["."], ".: cannot be read: Is a directory"),
        (["0", "--set", "stem.width"], "--set takes GENE=VALUE, such as stage1.kernel=5, got 'stem.width'"),
        (["0", "--set", "stage1.widht=8"], "--set: unknown gene 'stage1.widht'; did you mean 'stage1.width'? (known: "),
        (["0", "--set", "stage1.width=9"], "--set: stage1.width must be one of 8, 12, 16, got 9"),
        (["0", "--set", "stage1.block=invert"], "unknown stage1.block 'invert'; did you mean 'inverted'? (known: inve"),
        (["0", "--set", "stem.width=4", "--set", "stem.width=8"], "--set takes each gene once, got 'stem.width=8'"),
    ],
)
def test_what_cannot_be_enqueued_is_refused_in_one_line(
    finished: Finished, nas: Nas, arguments: list[str], words: str
) -> None:
    assert words in refused(nas, finished, *arguments)


def text(*blocks: Block, stem: int = 4, stride: int = 2, stages: int = 1) -> str:
    """Return the JSON of a network: one separable block in one stage, unless told otherwise."""
    stage = Stage(width=8, stride=stride, blocks=blocks or (block(),))
    return Architecture(stem=Stem(width=stem, stride=1), stages=(stage,) * stages, head=Head()).model_dump_json()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON: "),
        ("[" * 100_000, "not JSON: "),
        ("[1]", "must be a JSON object: an architecture, or a value for each gene"),
        ('{"stem": 1}', "architecture: stem: "),
        ('{"stem.width": 4}', "no value for stage1.width, "),
        ('{"stem.widht": 4}', "unknown gene 'stem.widht'; did you mean 'stem.width'? (known: "),
        (text(stem=5), "no member of space little: stem: width must be one of 4, 8, got 5"),
        (text(stride=1), "stage 1: stride must be 2, got 1"),
        (text(block("nodepth")), "stage 1: block must be one of separable, inverted, got nodepth"),
        (text(block(kernel=5)), "stage 1: kernel must be 3, got 5"),
        (text(*[block()] * 3), "stage 1: it has more blocks than the space"),
        (text(stages=2), "it has 2 stages, the space has 1"),
    ],
)
def test_a_file_that_names_no_member_is_refused_in_one_line(
    finished: Finished, nas: Nas, tmp_path: Path, content: str, words: str
) -> None:
    path = tmp_path / "network.json"
    path.write_text(content)
    assert words in (line := refused(nas, finished, path))
    assert str(path) in line


def test_a_file_that_is_no_text_is_refused(finished: Finished, nas: Nas, tmp_path: Path) -> None:
    (tmp_path / "network.json").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read: not a text file" in refused(nas, finished, tmp_path / "network.json")


def test_a_network_over_the_cap_is_refused_with_both_numbers(nas: Nas, tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "study.db")
    Study.create(open_storage(url, create=True), config(), 4)
    (tmp_path / "genes.json").write_text(json.dumps(LARGE))
    outcome = nas("enqueue", "study", tmp_path / "genes.json", "--storage", url)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "nas: over the cap: params 3,070 exceeds the cap 1,000\n"


def test_a_problem_s_study_is_enqueued_to_from_python(nas: Nas, tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "table.db")
    solve(table(), 2, storage=url)
    outcome = nas("enqueue", "table", "0", "--storage", url)
    assert (outcome.code, outcome.out) == (2, "")
    assert "study 'table' is of a problem of its own: put one first from Python, with `first=[{" in outcome.err
