"""Recipes by name, and changes to them."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from nas.data.images import Dataset
from nas.errors import InputError
from nas.recipe import Ramp
from nas.training.named import changed, find_recipe, named_recipes
from nas.training.optimizers import make_optimizer
from tests.training.conftest import Build


def test_every_recipe_names_its_source_and_what_it_gave() -> None:
    found = named_recipes()
    assert set(found) == {"cifar200", "emov2", "fast16", "mobilenet", "tiny", "tinynext"}
    assert all(each.source and each.expected for each in found.values())


@pytest.mark.parametrize(
    ("name", "rate"), [("tinynext", 6e-3), ("emov2", 1.5e-3), ("mobilenet", 0.05), ("fast16", 2.0)]
)
def test_rates_are_those_of_the_sources(make: Build, name: str, rate: float) -> None:
    assert make_optimizer(make(), named_recipes()[name].recipe).param_groups[0]["lr"] == pytest.approx(rate)


def test_fast16_sees_the_sides_of_its_source() -> None:
    assert named_recipes()["fast16"].sides(256) == [160, 192, 256]


@pytest.mark.parametrize("name", named_recipes())
def test_a_recipe_is_what_its_text_gives_back(name: str, tmp_path: Path) -> None:
    recipe = changed(named_recipes()[name], ["distillation.weight=2", "suppression.target=0.1"])
    path = tmp_path / f"{name}.toml"
    path.write_text(recipe.toml(), encoding="utf-8")
    assert {**tomllib.loads(recipe.toml()), "name": name} == tomllib.loads(recipe.toml())
    assert find_recipe(str(path)) == recipe


def test_settings_change_what_they_name() -> None:
    recipe = changed(named_recipes()["fast16"], ["epochs=600", "ramp.start=0.5", "optimizer=muon", "blur_pool=no"])
    assert (recipe.epochs, recipe.recipe.optimizer, recipe.recipe.blur_pool) == (600, "muon", False)
    assert recipe.recipe.ramp == Ramp(start=0.5, begin=0.6875, end=0.8125)
    assert changed(recipe, ["ramp=none"]).recipe.ramp is None


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("epoch=6", "--set: unknown field 'epoch'; did you mean 'epochs'?"),
        ("ramp.begins=6", "--set: unknown field 'ramp.begins'; did you mean 'ramp.begin'?"),
        ("name=x", "--set: unknown field 'name'"),
        ("epochs", "--set: must be FIELD=VALUE such as epochs=600, got 'epochs'"),
        ("epochs=many", "--set: epochs: input should be a valid integer"),
        ("epochs=0", "--set: epochs: input should be greater than or equal to 1, got 0"),
        ("optimizer=lion", "--set: optimizer: input should be 'sgd', 'adamw' or 'muon', got 'lion'"),
        ("ramp.end=0.1", "--set: ramp: begin must be below end, got 0.6875 and 0.1"),
    ],
)
def test_a_wrong_setting_is_one_line(setting: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        changed(named_recipes()["fast16"], [setting])
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_a_setting_is_given_once() -> None:
    with pytest.raises(InputError, match="epochs is given twice"):
        changed(named_recipes()["tiny"], ["epochs=1", "epochs=2"])


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("tinynex", "did you mean 'tinynext'"),
        ("none.toml", "cannot be read"),
        ("broken.toml", "not TOML"),
        ("odd.toml", "epochs: field required"),
    ],
)
def test_a_recipe_that_cannot_be_read_is_one_line(
    name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.toml").write_text("x = ", encoding="utf-8")
    Path("odd.toml").write_text('source = "a"\nexpected = "b"\n[recipe]\n', encoding="utf-8")
    with pytest.raises(InputError, match=line):
        find_recipe(name)


def test_images_whose_label_a_flip_changes_are_not_flipped(few: Dataset) -> None:
    tiny = named_recipes()["tiny"]
    assert [tiny.for_data(replace(few, mirror=each))[0].mirror for each in (False, True)] == [False, True]
