"""Spaces with everything a file can say, small enough to enumerate: stems, blocks of their own, families that grow."""

from __future__ import annotations

from math import prod

from hypothesis import assume
from hypothesis import strategies as st

from nas.space import SearchSpace
from nas.space_file import parse_space

STEMS = {
    "plain": "[stem]\nwidth = [8, 12]",
    "gated": "[stem]\nwidth = 8\nseparable = [true, false]\nse_ratio = [0.0, 0.5]",
    "named": '[[stem]]\nname = "a"\nwidth = [8, 16]\n[[stem]]\nname = "b"\nwidth = 8\nfirst_width = [4, 8]\nstride = 4',
    "patches": '[[stem]]\nname = "a"\nwidth = 8\n[[stem]]\nname = "p"\nwidth = 8\nkernel = 4\nstride = 4',
}
HEADS = {
    "plain": "",
    "wide": "[head]\nwidth = [0, 8]\nactivation = ['relu', 'gelu']\nhidden = [0, 4]\nhidden_norm = ['none', 'batch']",
    "normed": "[head]\nmap_norm = ['none', 'batch']\npool_norm = ['none', 'layer']\nnorm = ['batch', 'layer']",
}
BLOCKS = [
    'block = ["separable", "inverted"]\nexpansion = [1, 2]',
    'block = ["dense", "shuffle"]\nexpansion = [1, 2]',
    'block = "dense"\nkernel = [3, 5]',
    'block = ["dense", "inverted"]\nskip = [true, false]\nper_block = ["block"]',
    'block = ["irmb_hybrid", "star"]\nheads = [2, 4]\nexpansion = 2',
    'block = "separable"\nkernel = [3, 5]\nper_block = ["kernel"]',
]
OWN = {
    "downsample": [
        'block = ["none", "conv"], bias = [true, false]',
        'block = ["patch", "conv"], activation = "relu"',
        'block = "conv", kernel = [1, 3]',
    ],
    "last": [
        'block = ["none", "sdta"], heads = [2, 4], position = [true, false]',
        'block = ["none", "mobilevit"], layers = [1, 2]',
        'block = ["sdta", "former"], splits = [2, 3]',
    ],
}


def _own(name: str) -> st.SearchStrategy[str]:
    given = st.sampled_from(OWN[name]).map(lambda genes: f"{name} = {{ {genes} }}\n")
    return st.one_of(st.just(""), given, given)


@st.composite
def slot_spaces(draw: st.DrawFn, most: int = 3_000) -> SearchSpace:
    """Draw a space of at most `most` genotypes whose own blocks are of other families than the rest of its stages."""
    lines = ["[target]\nnum_classes = 10\nresolution = 32"]
    lines.append(
        draw(st.sampled_from(["", '[network]\nactivation = ["relu", "silu"]', '[network]\nnorm = ["batch", "layer"]']))
    )
    lines.append(draw(st.sampled_from(sorted(STEMS.values()))))
    if draw(st.booleans()):
        lines.append("[stages]\n" + draw(_own("downsample")) + draw(_own("last")))
    for _ in range(draw(st.integers(1, 2))):
        lines.append("[[stage]]\n" + draw(st.sampled_from(BLOCKS)))
        lines.append(draw(st.sampled_from(["width = [8, 16]", "width = 16", "width = [12, 24]"])))
        lines.append(draw(st.sampled_from(["depth = [1, 3]", "depth = 2", ""])))
        lines.append(draw(st.sampled_from(["stride = [1, 2]", "stride = 2", ""])))
        lines.append(draw(_own("downsample")) + draw(_own("last")))
    lines.append(draw(st.sampled_from(sorted(HEADS.values()))))
    space = parse_space("\n".join(lines), where="drawn.toml")
    assume(prod(len(gene.values) for gene in space.genes) <= most)
    return space
