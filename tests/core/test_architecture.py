"""Architectures: normal form, ids, JSON, strides at other resolutions."""

from __future__ import annotations

import hashlib
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nas.architecture import Architecture, Head, Stage, Stem, Task, effective_strides, walk
from nas.blocks import FAMILIES, Block, Place, family
from nas.budget import cost
from nas.errors import SpaceError
from nas.space_file import load_space, shipped_spaces
from nas.value import canonical_json
from tests.core.examples import TASK, architecture, block

NOT_DEFAULT = {
    **{"kernel": 5, "expansion": 2.0, "activation": "gelu", "norm": "layer", "se_ratio": 0.5, "skip": False},
    **{"start_kernel": 3, "end_kernel": 3, "groups": 2, "bias": True, "layer_scale": 1e-6},
    **{"heads": 2, "window": 4, "layers": 3, "splits": 4, "position": True},
}
PLACES = [Place(16, 16, 1), Place(16, 24, 1), Place(16, 16, 2), Place(24, 16, 2)]
SPACES = {name: load_space(name) for name in shipped_spaces()}


def test_every_gene_is_tried_here() -> None:
    assert {"family", *NOT_DEFAULT} == set(Block.model_fields)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("gene", NOT_DEFAULT)
def test_a_gene_counts_exactly_where_the_family_reads_it(name: str, gene: str, place: Place) -> None:
    stem, changed = Stem(width=place.in_width), block(name, **{gene: NOT_DEFAULT[gene]})
    one, other = (
        Architecture(stem=stem, stages=(Stage(width=place.out_width, stride=place.stride, blocks=(genes,)),))
        for genes in (block(name), changed)
    )
    assert (one != other) == (one.arch_id != other.arch_id) == (gene in FAMILIES[name].reads(place))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("gene", NOT_DEFAULT)
def test_a_family_reads_the_genes_it_declares_and_no_other(name: str, gene: str, place: Place) -> None:
    with_se = {} if gene == "se_ratio" else {"se_ratio": 0.25}
    layers = FAMILIES[name].layers
    differs = layers(block(name, **with_se), place) != layers(
        block(name, **with_se, **{gene: NOT_DEFAULT[gene]}), place
    )
    assert differs == (gene in FAMILIES[name].reads(place))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_declared_gene_is_read_somewhere(name: str) -> None:
    assert frozenset().union(*map(FAMILIES[name].reads, PLACES)) == FAMILIES[name].genes


@pytest.mark.parametrize("shape", [{"width": 16}, {"stride": 2}, {"width": 16, "stride": 2}])
def test_skip_is_reset_where_the_shape_changes(shape: dict[str, int]) -> None:
    network = architecture(block(skip=False), block(skip=False), **shape)
    assert [each.skip for each in network.stages[0].blocks] == [True, False]
    assert network == architecture(block(skip=True), block(skip=False), **shape)


def test_genes_of_an_absent_head_are_reset() -> None:
    stem, stages = Stem(width=8), (Stage(width=8, blocks=(block(),)),)
    absent = Architecture(stem=stem, stages=stages, head=Head(activation="gelu", norm="layer"))
    assert absent.arch_id == Architecture(stem=stem, stages=stages).arch_id
    present = Architecture(stem=stem, stages=stages, head=Head(width=8, activation="gelu"))
    assert present.head.activation == "gelu"


def test_equal_networks_are_equal_values_with_equal_ids() -> None:
    one, other = architecture(block(expansion=2)), architecture(block(expansion=3, se_ratio=0.5))
    assert (one, hash(one), one.arch_id) == (other, hash(other), other.arch_id)


def test_the_id_is_the_start_of_the_sha256_of_the_canonical_json() -> None:
    text = json.dumps(architecture().model_dump(exclude_defaults=True), sort_keys=True, separators=(",", ":"))
    assert architecture().arch_id == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_a_changed_copy_is_in_normal_form_and_has_its_own_id() -> None:
    network = architecture(block("inverted", skip=False), head=8)
    copy = network.model_copy(update={"stem": Stem(width=16)})
    assert copy.arch_id != network.arch_id
    assert copy.stages[0].blocks[0].skip


def test_assignment_raises() -> None:
    network = architecture()
    with pytest.raises(ValidationError, match="frozen"):
        network.stem = Stem(width=1)
    with pytest.raises(ValidationError, match="frozen"):
        network.stages[0].blocks[0].kernel = 5


@given(st.sampled_from(sorted(SPACES)), st.integers(0, 10_000))
def test_json_gives_back_the_same_architecture(name: str, seed: int) -> None:
    space = SPACES[name]
    network = space.decode(space.random(random.Random(seed)))
    again = Architecture.from_json(canonical_json(network))
    assert (again, again.arch_id) == (network, network.arch_id)


@given(st.sampled_from(sorted(SPACES)), st.integers(0, 10_000))
def test_the_normal_form_is_its_own_normal_form(name: str, seed: int) -> None:
    space = SPACES[name]
    network = space.decode(space.random(random.Random(seed)))
    assert Architecture(stem=network.stem, stages=network.stages, head=network.head) == network


def test_json_in_any_gene_order_is_brought_to_normal_form() -> None:
    text = (
        architecture()
        .model_dump_json()
        .replace('"skip":true', '"skip":true,"se_ratio":0.5')
        .replace('"se_ratio":0.0,', "")
    )
    assert Architecture.from_json(text) == architecture()


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"kernel":3', '"kernel":4', "kernel must be odd, or the stride for patches, got 4"),
        ('"kernel":3', '"kernel":true', "input should be a valid integer, got True"),
        ('"kernel":3', '"kernel":"3"', "input should be a valid integer, got '3'"),
        ('"family":"separable"', '"family":"seperable"', "unknown block 'seperable'; did you mean 'separable'?"),
        ('"activation":"relu"', '"activation":"rleu"', "unknown activation 'rleu'; did you mean 'relu'?"),
        ('"norm":"batch"', '"norm":"btach"', "unknown norm 'btach'; did you mean 'batch'?"),
        ('"width":8', '"width":0', "input should be greater than or equal to 1, got 0"),
        ('"stride":2', '"stride":3', "stem.stride: input should be 1, 2 or 4, got 3"),
        ('"skip":true', '"skip":true,"depth":1', "extra inputs are not permitted, got 1"),
        ('"expansion":1.0', '"expansion":0', "input should be greater than 0, got 0"),
        ("{", "", "invalid JSON"),
    ],
)
def test_json_of_no_architecture_is_refused_in_one_line(old: str, new: str, fault: str) -> None:
    text = architecture().model_dump_json().replace(old, new)
    with pytest.raises(SpaceError) as caught:
        Architecture.from_json(text)
    message = str(caught.value)
    assert message.startswith("architecture: ")
    assert fault in message
    assert "\n" not in message


def test_a_stage_without_blocks_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least 1 item"):
        Stage(width=8, blocks=())


def test_an_unknown_family_is_named_with_its_neighbour() -> None:
    with pytest.raises(SpaceError, match=r"unknown block 'nodpth'; did you mean 'nodepth'\?"):
        family("nodpth")


def _strided(*strides: int) -> Architecture:
    stages = tuple(Stage(width=8, stride=stride, blocks=(block(), block())) for stride in strides[1:])
    return Architecture(stem=Stem(width=8, stride=strides[0]), stages=stages)


@pytest.mark.parametrize(
    ("resolution", "expected"),
    [
        (224, [2, 2, 2, 2, 2]),
        (128, [2, 2, 2, 2, 2]),
        (97, [2, 2, 2, 2, 2]),
        (96, [1, 2, 2, 2, 2]),
        (64, [1, 2, 2, 2, 2]),
        (32, [1, 1, 2, 2, 2]),
        (8, [1, 1, 1, 1, 2]),
        (4, [1, 1, 1, 1, 1]),
        (2, [1, 1, 1, 1, 1]),
    ],
)
def test_the_earliest_strides_are_dropped_until_four_by_four_is_left(resolution: int, expected: list[int]) -> None:
    assert effective_strides(_strided(2, 2, 2, 2, 2), resolution) == expected


@pytest.mark.parametrize(("resolution", "expected"), [(32, [4, 2]), (16, [2, 2]), (8, [1, 2]), (4, [1, 1])])
def test_a_stride_of_four_is_halved_before_it_is_dropped(resolution: int, expected: list[int]) -> None:
    assert effective_strides(_strided(4, 2), resolution) == expected


@given(
    st.tuples(st.sampled_from([1, 2, 4]), *[st.sampled_from([1, 2])] * 3),
    st.integers(4, 70),
    st.sampled_from([1, 3, 7]),
)
def test_the_last_map_is_never_under_four_by_four(strides: tuple[int, ...], resolution: int, kernel: int) -> None:
    network = _strided(*strides)
    network = network.model_copy(update={"stem": Stem(width=8, stride=strides[0], kernel=kernel)})
    side, expected = resolution, effective_strides(network, resolution)
    for stride in expected:
        side = -(-side // stride)
    assert side >= 4
    assert expected == list(strides) or side < 8  # no stride is dropped without need


@pytest.mark.parametrize("name", FAMILIES)
def test_dropping_strides_leaves_the_params_unchanged(name: str) -> None:
    stages = tuple(Stage(width=width, stride=2, blocks=(block(name), block(name))) for width in (16, 24))
    network = Architecture(stem=Stem(width=8, kernel=5, stride=4), stages=stages)
    costs = [cost(network, TASK.model_copy(update={"resolution": resolution})) for resolution in (64, 32, 16, 8)]
    assert len({each.params for each in costs}) == 1
    assert [each.macs for each in costs] == sorted((each.macs for each in costs), reverse=True)


def test_walk_names_every_part_in_order() -> None:
    names = [name for name, _ in walk(_strided(1, 1, 1), TASK)]
    assert names == ["stem", "stage1.block1", "stage1.block2", "stage2.block1", "stage2.block2", "head"]


def test_words_say_widths_depths_and_families() -> None:
    network = architecture(
        block("nodepth", expansion=2), block("nodepth", expansion=2), block("inverted", se_ratio=0.25)
    )
    assert network.words() == "stem w8 | 2x nodepth e2 k3 relu/1x inverted e1 k3 relu se0.25 w8 s1"
    assert architecture(head=32).words() == "stem w8 | 1x separable k3 relu w8 s1 | head w32"


@pytest.mark.parametrize("given_fields", [{"num_classes": 1}, {"resolution": 0}, {"in_channels": 0}])
def test_an_impossible_task_is_refused(given_fields: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="greater than or equal"):
        Task(**{"num_classes": 10, "resolution": 8, **given_fields})
