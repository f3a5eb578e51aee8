"""Losses against their closed forms."""

from __future__ import annotations

import math
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nas.errors import InputError
from nas.recipe import BiasLoss, Distillation, Recipe
from nas.training.losses import Criterion, LastMap, divergence, importance

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]])
LABELS = torch.tensor([0, 2])


def test_images_count_by_the_variance_of_their_maps() -> None:
    found = importance(torch.tensor([1.0, 3.0, 2.0]), BiasLoss(alpha=0.3, beta=0.3))
    assert found.tolist() == pytest.approx([1 - 0.3, math.exp(0.3) - 0.3, math.exp(0.15) - 0.3])


def test_images_of_one_variance_count_alike() -> None:
    assert importance(torch.full((3,), 2.0), BiasLoss()).tolist() == pytest.approx([0.7] * 3)


def test_the_bias_loss_weighs_each_image_by_the_map_that_the_head_was_given() -> None:
    network, recipe = nn.Sequential(OrderedDict(head=nn.Flatten())), Recipe(bias_loss=BiasLoss(), label_smoothing=0)
    criterion = Criterion(recipe, LastMap(network))
    loss = criterion(network(LOGITS[:, :, None, None]), LABELS)
    each = F.cross_entropy(LOGITS, LABELS, reduction="none")
    weights = torch.tensor([math.exp(0.3) - 0.3, 0.7])  # the first image varies more
    assert loss.item() == pytest.approx((weights * each).sum().item())


def test_a_network_without_a_head_has_no_bias_loss() -> None:
    with pytest.raises(InputError, match="needs a network with a head"):
        LastMap(nn.Linear(2, 2))


def test_a_teacher_that_says_the_same_adds_nothing() -> None:
    assert divergence(LOGITS, LOGITS + 3, 2.0).item() == pytest.approx(0, abs=1e-6)


def test_a_teacher_s_share_is_its_divergence_by_hand() -> None:
    teacher, temperature = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]), 2.0
    p, q = (teacher / temperature).softmax(1), (LOGITS / temperature).softmax(1)
    by_hand = 4 * (p * (p.log() - q.log())).sum().item()
    assert divergence(LOGITS, teacher, temperature).item() == pytest.approx(by_hand)
    recipe = Recipe(distillation=Distillation(temperature=temperature, weight=3), label_smoothing=0.1)
    labels_alone = F.cross_entropy(LOGITS, LABELS, label_smoothing=0.1, reduction="sum").item()
    assert Criterion(recipe)(LOGITS, LABELS, teacher).item() == pytest.approx(labels_alone + 3 * by_hand)
