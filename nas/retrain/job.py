"""What is to be retrained: a network, a recipe, images, seeds; and what a begun training was begun with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from nas.architecture import Architecture, Task
from nas.budget import Cost, cost
from nas.data.images import Dataset, Images
from nas.data.spec import DataSpec
from nas.errors import InputError, SpaceError
from nas.model_folder import TrainedTask, check_side
from nas.records import Fidelity, Plan, Recipe
from nas.results import write_whole
from nas.retrained import folder_of
from nas.training.feed import judged_side
from nas.training.named import NamedRecipe
from nas.training.teacher import Teacher
from nas.value import Value, explain

BEGUN = "begun.json"
HELD_OUT, HELD_OUT_IMAGENET = 0.1, 0.01
"""Share of train that is held out to choose the best epoch; of ImageNet a hundredth is 12,812 images."""


@dataclass(frozen=True, eq=False)
class Source:
    """Images to retrain on: train with what is held out of it, and the test split, which is read when it is asked for.

    `read_test` is called with the side that the network is judged at.
    """

    spec: DataSpec
    data: Dataset
    held_out: float
    read_test: Callable[[int], Images]


@dataclass(frozen=True, eq=False)
class Job:
    """A network to be retrained by a recipe, from any number of seeds, below the folder of a study.

    `recipe` is what the recipe of that name has become by settings, a teacher and the images.
    """

    title: str
    architecture: Architecture
    source: Source
    named: NamedRecipe
    label: str
    study: Path
    teacher: Teacher | None = None

    @property
    def recipe(self) -> Recipe:
        """The recipe for these images."""
        return self.named.for_data(self.source.data)[0]

    @property
    def fidelity(self) -> Fidelity:
        """The length, and the side of the images."""
        return self.named.for_data(self.source.data)[1]

    @property
    def judged_side(self) -> int:
        """The side of the images that the network is judged by."""
        return judged_side(self.recipe, self.fidelity.resolution)

    @property
    def task(self) -> TrainedTask:
        """What the network is trained to do."""
        data = self.source.data
        return TrainedTask(
            classes=data.classes,
            resolution=self.fidelity.resolution,
            mean=data.mean,
            std=data.std,
            data=str(self.source.spec),
            fingerprint=data.fingerprint,
            blur_pool=self.recipe.blur_pool,
        )

    @property
    def cost(self) -> Cost:
        """What the network costs on the images it is trained on."""
        return cost(self.architecture, self.task.task)

    def folder(self, seed: int) -> Path:
        """Return the folder of one seed."""
        return folder_of(self.study, self.architecture.arch_id, self.label, seed)

    def check(self) -> None:
        """Raise InputError, before anything is written, where the images are too small for the network."""
        task = Task(num_classes=2, resolution=self.fidelity.resolution)
        try:
            cost(self.architecture, task)
            check_side(self.architecture, self.task, self.named.sides(self.source.data.resolution)[0])
        except (SpaceError, InputError) as error:
            raise InputError(f"{self.title} at {task.resolution} px: {error}") from None

    def begun(self, plan: Plan, processes: int = 1) -> Begun:
        """Return what a training of this is begun with."""
        data = self.source.data
        return Begun(
            architecture=self.architecture,
            recipe=self.named,
            data=str(self.source.spec),
            fingerprint=data.fingerprint,
            side=data.resolution,
            held_out=self.source.held_out,
            teacher="" if self.teacher is None else f"{self.teacher.name} {self.teacher.digest}",
            plan=plan,
            processes=processes,
        )


class Begun(Value):
    """What a training was begun with: it goes on with the same, or not at all.

    `plan` and `processes` are as they were then; these may be others later, for which no bit is promised.
    """

    architecture: Architecture
    recipe: NamedRecipe
    data: str
    fingerprint: str
    side: int
    held_out: float
    teacher: str = ""
    plan: Plan
    processes: int = 1

    @classmethod
    def read(cls, folder: Path) -> Begun | None:
        """Return what a folder was begun with; None where nothing was."""
        path = folder / BEGUN
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise InputError(f"{path}: {explain(error)}; remove the folder to begin anew") from None

    def write(self, folder: Path) -> None:
        """Write it down; InputError where that cannot be done."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / BEGUN, self.model_dump_json(indent=2) + "\n")
        except OSError as error:
            raise InputError(f"{folder}: cannot be written: {error.strerror or error}") from None

    def check(self, wanted: Begun, folder: Path) -> None:
        """Raise InputError, with the first difference, where a training is wanted that is another one."""
        for name in ("data", "fingerprint", "side", "held_out", "teacher"):
            own, other = getattr(self, name), getattr(wanted, name)
            if own != other:
                raise _other(folder, name.replace("_", " "), own or "none", other or "none")
        own, other = self.recipe, wanted.recipe
        if own == other:
            return
        name = next(
            each
            for each in ("epochs", "resolution", "recipe", "name", "source", "expected")
            if getattr(own, each) != getattr(other, each)
        )
        if name == "recipe":
            name = next(
                each for each in Recipe.model_fields if getattr(own.recipe, each) != getattr(other.recipe, each)
            )
            own, other = own.recipe, other.recipe
        raise _other(folder, name, getattr(own, name), getattr(other, name))


def _other(folder: Path, name: str, own: object, other: object) -> InputError:
    return InputError(
        f"{folder}: begun with another recipe: {name} was {own}, is {other}; --as gives the new one a name of its own"
    )
