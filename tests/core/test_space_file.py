"""Space files: a list is a choice, every fault is one line with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.blocks import FAMILIES
from nas.errors import SpaceError
from nas.space import Gene, SearchSpace
from nas.space_file import load_space, parse_space, shipped_spaces

STEM = "[stem]\nwidth = 8\n"
STAGE = '[[stage]]\nwidth = 8\nblock = "separable"\n'


def _parse(text: str) -> SearchSpace:
    return parse_space(text, where="s.toml")


def test_a_list_is_a_choice_and_a_scalar_a_decision() -> None:
    space = _parse(STEM + '[[stage]]\nwidth = [16, 24]\nblock = ["separable", "nodepth"]\nkernel = 5\nexpansion = [2]')
    assert space.genes == (Gene("stage1.width", (16, 24)), Gene("stage1.block", ("separable", "nodepth")))
    assert dict(space.stages[0].blocks[0])["kernel"] == 5
    assert dict(space.stages[0].blocks[0])["expansion"] == 2


def test_numbers_are_ordered_and_words_keep_their_order() -> None:
    space = _parse(STEM + '[[stage]]\nwidth = [24, 8, 16]\nblock = ["separable", "nodepth", "inverted"]')
    assert [gene.values for gene in space.genes] == [(8, 16, 24), ("separable", "nodepth", "inverted")]


def test_what_is_left_out_holds_the_documented_defaults() -> None:
    space = _parse(STEM + STAGE)
    assert space.name == "s"
    assert (space.target.dataset, space.target.num_classes, space.target.resolution) == ("imagenet", 1000, 224)
    assert space.target.cap == "1.5M"
    network = space.decode({})
    assert (network.stem.kernel, network.stem.stride, network.head.width) == (3, 2, 0)
    assert (len(network.stages[0].blocks), network.stages[0].stride) == (1, 1)


def test_a_network_choice_is_one_gene_for_stem_stages_and_head() -> None:
    space = _parse('[network]\nactivation = ["relu", "gelu"]\nnorm = "layer"\n' + STEM + STAGE + "[head]\nwidth = 8")
    assert space.genes == (Gene("network.activation", ("relu", "gelu")),)
    network = space.decode({"network.activation": "gelu"})
    assert {network.stem.activation, network.stages[0].blocks[0].activation, network.head.activation} == {"gelu"}
    assert {network.stem.norm, network.stages[0].blocks[0].norm, network.head.norm} == {"layer"}


def test_a_stage_goes_before_stages_and_stages_before_network() -> None:
    text = '[network]\nblock = "nodepth"\nkernel = 3\nexpansion = 2\n[stages]\nkernel = 5\nwidth = 8\nexpansion = 3\n'
    space = _parse(text + STEM + "[[stage]]\nkernel = 7\n[[stage]]\n")
    blocks = [space.decode({}).stages[i].blocks[0] for i in (0, 1)]
    assert [(block.family, block.kernel, block.expansion) for block in blocks] == [("nodepth", 7, 3), ("nodepth", 5, 3)]


def test_stages_give_each_stage_its_own_choice() -> None:
    space = _parse("[stages]\nkernel = [3, 5]\n" + STEM + STAGE + STAGE)
    assert [gene.name for gene in space.genes] == ["stage1.kernel", "stage2.kernel"]


def test_per_block_keys_are_chosen_at_each_position() -> None:
    text = '[[stage]]\nwidth = 8\ndepth = [1, 2]\nblock = "inverted"\nkernel = [3, 5]\nexpansion = [1, 2]\n'
    space = _parse(STEM + text + 'per_block = ["kernel"]')
    assert {gene.name for gene in space.genes} == {
        "stage1.depth",
        "stage1.1.kernel",
        "stage1.2.kernel",
        "stage1.expansion",
    }
    genotype = {"stage1.depth": 2, "stage1.1.kernel": 3, "stage1.2.kernel": 5, "stage1.expansion": 2}
    assert [block.kernel for block in space.decode(genotype).stages[0].blocks] == [3, 5]


def test_per_block_may_name_a_key_that_one_stage_decides() -> None:
    stages = '[stages]\nkernel = [3, 5]\nper_block = ["kernel"]\n'
    space = _parse(stages + STEM + STAGE + "kernel = 7\n" + STAGE)
    assert [gene.name for gene in space.genes] == ["stage2.1.kernel"]


FAULTS = {
    # extra lines of the only stage, whose `[[stage]]` is line 3 -> the message
    "widht = 3": "s.toml:6: stage 1: unknown key 'widht'; did you mean 'width'? (known: activation, bias, block,",
    'block = "nodpth"': "s.toml:5: stage 1: `block` unknown block 'nodpth'; did you mean 'nodepth'? (known: conv,",
    "block = 3": "s.toml:5: stage 1: `block` unknown block '3'",
    'block = [["nodepth"]]': "s.toml:5: stage 1: `block` unknown block",
    'activation = "rleu"': "s.toml:6: stage 1: `activation` unknown activation 'rleu'; did you mean 'relu'?",
    'norm = ["batch", "btach"]': "s.toml:6: stage 1: `norm` unknown norm 'btach'; did you mean 'batch'?",
    "kernel = [3, 4]": "s.toml:6: stage 1: `kernel` must be odd, got 4",
    "kernel = 33": "s.toml:6: stage 1: `kernel` input should be less than or equal to 31, got 33",
    "kernel = 3.0": "s.toml:6: stage 1: `kernel` input should be a valid integer, got 3.0",
    "kernel = []": "s.toml:6: stage 1: `kernel` is an empty choice; give at least one value",
    "kernel = [3, 3]": "s.toml:6: stage 1: `kernel` names a value twice: [3, 3]",
    "expansion = [1, 1.0]": "s.toml:6: stage 1: `expansion` names a value twice: [1, 1.0]",
    "expansion = true": "s.toml:6: stage 1: `expansion` input should be a valid number, got True",
    "expansion = nan": "s.toml:6: stage 1: `expansion` input should be",
    "expansion = 0": "s.toml:6: stage 1: `expansion` input should be greater than 0, got 0",
    "se_ratio = 2": "s.toml:6: stage 1: `se_ratio` input should be less than or equal to 1, got 2",
    "skip = 1": "s.toml:6: stage 1: `skip` input should be a valid boolean, got 1",
    "depth = 0": "s.toml:6: stage 1: `depth` must be a whole number from 1 to 64, got 0",
    "depth = [1, 65]": "s.toml:6: stage 1: `depth` must be a whole number from 1 to 64, got 65",
    "depth = true": "s.toml:6: stage 1: `depth` must be a whole number from 1 to 64, got True",
    "stride = 3": "s.toml:6: stage 1: `stride` input should be 1 or 2, got 3",
    'per_block = ["depth"]': "s.toml:6: stage 1: `per_block` must list some of block, kernel,",
    "per_block = [[1]]": "s.toml:6: stage 1: `per_block` must list some of block, kernel,",
    'per_block = ["kernel"]': "s.toml:6: stage 1: `per_block` names 'kernel', which the stage does not give",
    "kernel 3": "s.toml:6: not valid TOML: Expected '=' after a key",
    "kernel = [3": "s.toml:6: not valid TOML: Unclosed array",
}


@pytest.mark.parametrize("line", FAULTS)
def test_a_fault_in_a_stage_names_file_line_and_key(line: str) -> None:
    stage = STAGE if not line.startswith("block") else "[[stage]]\nwidth = 8\n"
    with pytest.raises(SpaceError) as caught:
        _parse(STEM + stage + line)
    assert str(caught.value).startswith(FAULTS[line])
    assert "\n" not in str(caught.value)


ELSEWHERE = {
    "": "s.toml: a space needs at least one [[stage]]",
    "[stage]\nwidth = 8\n": "s.toml: a space needs at least one [[stage]]",
    "stage = [1]\n": "s.toml: a space needs at least one [[stage]]",
    'nmae = "x"\n' + STEM + STAGE: "s.toml:1: unknown key 'nmae'; did you mean 'name'?",
    "[sten]\nwidth = 8\n" + STAGE: "s.toml:1: unknown key 'sten'; did you mean 'stem'?",
    "stem = 3\n" + STAGE: "s.toml:1: `stem` must be a table, got 3",
    "name = 3\n" + STEM + STAGE: "s.toml:1: `name` must be text, got 3",
    STAGE: "s.toml: stem: `width` is missing",
    "[stem]\nkernel = 3\n" + STAGE: "s.toml:1: stem: `width` is missing",
    "[stem]\nwidth = -8\n" + STAGE: "s.toml:2: stem: `width` input should be greater than or equal to 1, got -8",
    "[stem]\nwidth = 8\nstride = 3\n" + STAGE: "s.toml:3: stem: `stride` input should be 1, 2 or 4, got 3",
    "[stem]\nwidht = 8\n" + STAGE: "s.toml:2: stem: unknown key 'widht'; did you mean 'width'?",
    STEM + '[[stage]]\nblock = "separable"\n': "s.toml:3: stage 1: `width` is missing",
    STEM + STAGE + "[[stage]]\nwidth = 8\n": "s.toml:6: stage 2: `block` is missing",
    STEM + STAGE + STAGE + "kernel = 4\n": "s.toml:9: stage 2: `kernel` must be odd, got 4",
    STEM + STAGE + "[head]\nwidth = -1\n": "s.toml:7: head: `width` input should be greater than or equal to 0, got -1",
    "[network]\nkernel = 4\n" + STEM + STAGE: "s.toml:2: network: `kernel` must be odd, got 4",
    "[network]\nwidth = 8\n" + STEM + STAGE: "s.toml:2: network: unknown key 'width' (known: activation, bias, block,",
    "[stages]\nkernel = 4\n" + STEM + STAGE: "s.toml:2: stages: `kernel` must be odd, got 4",
    "[stages]\nkernle = 3\n" + STEM + STAGE: "s.toml:2: stages: unknown key 'kernle'; did you mean 'kernel'?",
    '[target]\ncap = "much"\n' + STEM + STAGE: "s.toml:2: target: `cap` must be a positive count such as 1.5M, 100k",
    "[target]\ncap = 1.5\n" + STEM + STAGE: "s.toml:2: target: `cap` input should be a valid string, got 1.5",
    "[target]\ncap = true\n" + STEM + STAGE: "s.toml:2: target: `cap` input should be a valid string, got True",
    "[target]\ncap = 0\n" + STEM + STAGE: "s.toml:2: target: `cap` must be a positive count such as 1.5M, 100k",
    "[target]\nmacs = 0\n" + STEM + STAGE: "s.toml:2: target: `macs` must be a positive count such as 1.5M, 100k",
    "[target]\npeak_activation = '1.5'\n"
    + STEM
    + STAGE: "s.toml:2: target: `peak_activation` must be a positive count",
    "[target]\nnum_classes = 1\n" + STEM + STAGE: "s.toml:2: target: `num_classes` input should be greater than or",
    "[target]\nclasses = 9\n" + STEM + STAGE: "s.toml:2: target: unknown key 'classes'; did you mean 'num_classes'?",
    "# a comment\n\n[stem] # here\nwidth = 0 # no\n" + STAGE: "s.toml:4: stem: `width` input should be greater than",
}


@pytest.mark.parametrize("text", ELSEWHERE)
def test_a_fault_outside_a_stage_names_file_line_and_key(text: str) -> None:
    with pytest.raises(SpaceError) as caught:
        _parse(text)
    assert str(caught.value).startswith(ELSEWHERE[text])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_can_be_named_in_a_file(name: str) -> None:
    space = _parse(STEM + f'[[stage]]\nwidth = 8\nblock = "{name}"')
    assert space.decode({}).stages[0].blocks[0].family == name


@pytest.mark.parametrize("name", shipped_spaces())
def test_a_shipped_space_has_its_file_name_and_says_what_it_is_for(name: str) -> None:
    space = load_space(name)
    assert space.name == name
    assert space.description
    assert space.text == shipped_spaces()[name].read_text(encoding="utf-8")


def test_a_path_to_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(STEM + STAGE, encoding="utf-8")
    assert load_space(str(path)).name == "mine"


def test_a_fault_in_a_file_names_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(STEM, encoding="utf-8")
    with pytest.raises(SpaceError) as caught:
        load_space(str(path))
    assert str(caught.value) == f"{path}: a space needs at least one [[stage]]"


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpaceError, match=r"mine.toml: cannot be read"):
        load_space(str(path))


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SpaceError, match=r"unknown space 'digit'; did you mean 'digits'\? \(known: cifar, digits,"):
        load_space("digit")


def test_a_path_to_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"none.toml: no such file"):
        load_space(str(tmp_path / "none.toml"))


@pytest.mark.parametrize("name", shipped_spaces())
def test_a_shipped_space_reads_as_documentation(name: str) -> None:
    lines = shipped_spaces()[name].read_text().splitlines()
    assert len(lines) < 80
    assert lines[0].startswith("# ")
