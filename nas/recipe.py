"""How a network is trained, by value: the same recipe for a proxy of two epochs and a final run of three hundred.

What is at its default is left out of every text and id (`canonical_json`), so a field that is added here changes none.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from nas.value import Value


class Suppression(Value):
    """How training holds interference down: a penalty on the 1x1 maps, as `nas.interference.suppression` says.

    Ours, and off unless asked for: on small networks it lowered interference and left accuracy as it was.
    """

    kind: Literal["interference", "orthogonality"] = Field(
        default="interference", description="what is penalised; orthogonality of the weights is there as a control"
    )
    strength: float = Field(default=1.0, gt=0, description="lambda; with a target, the unit that it moves in")
    target: float | None = Field(
        default=None, ge=0, lt=1, description="excess interference that lambda is steered to; None keeps lambda fixed"
    )
    importance: Literal["gradient", "uniform"] = Field(default="gradient", description="what weighs the features")
    interference: Literal["independent", "full"] = Field(
        default="independent", description="cross-talk alone, or redundancy as well"
    )
    layers: Literal["narrowing", "all"] = Field(default="narrowing", description="which 1x1 maps")


_NEW_EACH_EPOCH = ("ramp", "rand_augment", "mixup", "cutmix")
"""What no fixed view of an image can have."""


class BiasLoss(Value):
    """Images weighed by how varied their last feature map is (Abrahamyan et al. 2021, Bias Loss for Mobile Neural
    Networks, section 3): exp(alpha v) - beta, where v is the map's variance, scaled to 0..1 over the batch."""

    alpha: float = Field(default=0.3, gt=0)
    beta: float = Field(default=0.3, ge=0, lt=1)


class Distillation(Value):
    """A teacher's answers beside the labels (Hinton et al. 2015, Distilling the Knowledge in a Neural Network).

    The loss is that of the labels plus `weight` times the Kullback-Leibler divergence from the teacher, both softened
    by `temperature` and scaled by its square. With `views`, each image is seen in so many fixed ways, one an epoch in
    turn, and what the teacher says of each is computed once and kept on disk.
    """

    temperature: float = Field(default=1.0, gt=0)
    weight: float = Field(default=5.0, gt=0)
    views: int = Field(default=0, ge=0, description="0: new ones each epoch, and the teacher runs on all of them")


class Ramp(Value):
    """Training images that grow: small until the share `begin` of the epochs, then linearly, whole from `end` on.

    In the manner of FFCV's ImageNet recipes; sides are multiples of `multiple` pixels.
    """

    start: float = Field(gt=0, lt=1, description="first side, as a share of the last")
    begin: float = Field(default=0.35, ge=0, lt=1)
    end: float = Field(default=0.8, gt=0, le=1)
    multiple: int = Field(default=32, ge=1)

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.begin >= self.end:
            raise ValueError(f"begin must be below end, got {self.begin} and {self.end}")
        return self

    def side(self, epoch: int, epochs: int, resolution: int) -> int:
        """Return the side of the images of an epoch, counted from 0, of a training that ends at `resolution`."""
        at = min(1.0, max(0.0, (epoch / epochs - self.begin) / (self.end - self.begin)))
        if at == 1.0:
            return resolution
        wanted = resolution * (self.start + at * (1 - self.start))
        return min(resolution, max(self.multiple, round(wanted / self.multiple) * self.multiple))


class Recipe(Value):
    """How a network is trained; the same type for a proxy of two epochs and a final run of three hundred.

    The learning rate warms up linearly and anneals to zero inside every fidelity: runs of different length rank alike
    only when each ends annealed (Smith 2018; Zela et al. 2018).
    """

    optimizer: Literal["sgd", "adamw", "muon"] = "adamw"
    learning_rate: float = Field(default=8e-3, gt=0, description="peak, at `rate_batch_size`")
    rate_batch_size: int = Field(
        default=128, ge=1, description="batch of `learning_rate`; the rate of another follows by the optimizer's rule"
    )
    schedule: Literal["linear", "cosine"] = Field(default="linear", description="behind the warm-up, to zero")
    weight_decay: float = Field(default=0.05, ge=0, description="on weight matrices only, not on norms and biases")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of sgd (Nesterov)")
    gradient_clip: float = Field(default=0.0, ge=0, description="largest norm of a unit's gradient to its own; 0: none")
    batch_size: int = Field(default=128, ge=2)
    accumulation: int = Field(default=1, ge=1, description="parts a batch is run in; a batch-norm sees its part alone")
    synchronised_norm: bool = Field(default=False, description="batch-norms see the batches of all processes")
    warmup_fraction: float = Field(default=0.15, ge=0, lt=1)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    ema_decay: float = Field(default=0.0, ge=0, lt=1, description="of the averaged weights; 0 keeps none")
    crop_padding: int = Field(default=0, ge=0, description="pixels at the data's own resolution")
    crop_area: float = Field(
        default=0.0, ge=0, le=1, description="least share of the image in a crop that is resized; 0 crops nothing"
    )
    ramp: Ramp | None = Field(default=None, description="of the resolution; None trains at the last one throughout")
    test_scale: float = Field(default=1.0, ge=0.5, le=2, description="side of the images it is judged by, to the last")
    mirror: bool = Field(default=False, description="random horizontal flips")
    alternate_mirror: bool = Field(default=False, description="every image flipped in every second epoch, drawn once")
    rand_augment: int = Field(default=0, ge=0, le=30, description="magnitude of two random operations; 0: none")
    colour_jitter: float = Field(default=0.0, ge=0, lt=1, description="most change of brightness, contrast, saturation")
    cutout: int = Field(default=0, ge=0, description="side of the erased square, likewise; 0: none")
    erasing: float = Field(default=0.0, ge=0, le=1, description="share of images with an erased rectangle")
    mixup: float = Field(default=0.0, ge=0, description="alpha; with cutmix, one of the two for each batch; 0: none")
    cutmix: float = Field(default=0.0, ge=0, description="alpha; 0: none")
    drop_path: float = Field(default=0.0, ge=0, lt=1, description="stochastic depth of the last block; linear from 0")
    blur_pool: bool = Field(default=False, description="a low-pass filter in front of what strides")
    bias_loss: BiasLoss | None = Field(default=None, description="images weighed by their features; None: all alike")
    distillation: Distillation | None = Field(default=None, description="from a teacher; None learns from labels alone")
    suppression: Suppression | None = Field(default=None, description="of interference; None trains without")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        new = [name for name in _NEW_EACH_EPOCH if getattr(self, name)]
        if self.distillation is not None and self.distillation.views and new:
            raise ValueError(f"distillation.views: {new[0]} is new in each epoch; take views = 0, or no {new[0]}")
        return self
