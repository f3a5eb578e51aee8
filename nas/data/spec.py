"""Which data a study uses: a frozen value, its text form, and the folders it implies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Self, get_args

import platformdirs
from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from nas.errors import DataError, unknown

Kind = Literal["digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "folder", "imagenet"]
KINDS: tuple[str, ...] = get_args(Kind)


class DataSpec(BaseModel):
    """A data set by kind and place, written ``KIND`` or ``KIND:PATH``.

    `digits` comes with scikit-learn and takes no path; `folder` and `imagenet` need one; the others look
    below the cache folder when none is given. Whether the files exist is asked by `nas.data.files`, not
    here: a stored spec stays readable on a machine without the data.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    path: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``KIND`` or ``KIND:PATH``, the inverse of `str`; raise DataError for anything else."""
        kind, _, path = text.partition(":")
        return cls.model_validate({"kind": kind, "path": path or None})

    def __str__(self) -> str:
        """Return ``KIND`` or ``KIND:PATH``."""
        return self.kind if self.path is None else f"{self.kind}:{self.path}"

    @property
    def root(self) -> Path:
        """The folder to look in: `path`, or the cache's own folder for data sets."""
        return cache_dir() / "datasets" if self.path is None else Path(self.path)

    @property
    def name(self) -> str:
        """What reports call the data: the kind, or for `folder` the folder's own name."""
        return self.root.name if self.kind == "folder" else self.kind

    @field_validator("kind", mode="before")
    @classmethod
    def _known_kind(cls, kind: Any) -> Any:
        if kind not in KINDS:
            raise DataError(unknown("data set", str(kind), KINDS))
        return kind

    @field_validator("path")
    @classmethod
    def _absolute_path(cls, path: str | None) -> str | None:
        return None if path is None else str(_expand(path))

    @model_validator(mode="after")
    def _path_fits_kind(self) -> Self:
        if self.kind == "digits" and self.path is not None:
            raise DataError(f"data set 'digits' takes no path, got {self.path!r}")
        if self.kind in ("folder", "imagenet") and self.path is None:
            raise DataError(f"data set {self.kind!r} needs a path: {self.kind}:PATH")
        return self


def cache_dir() -> Path:
    """Return the folder for downloads and decoded images: `NAS_CACHE`, or the user's cache folder."""
    given = os.environ.get("NAS_CACHE")
    return _expand(given) if given else platformdirs.user_cache_path("nas")


def _expand(path: str) -> Path:
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:  # "~name" without such a user
        raise DataError(f"cannot expand {path!r}: no such home folder") from error
