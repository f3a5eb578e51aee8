"""Figures as PNG and SVG, through kaleido and an installed Chromium."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import plotly.graph_objects as go

from nas.errors import InputError

HOW = "pip install 'nas[images]', and an installed Chromium or Chrome"
WIDTH, HEIGHT, SCALE = 1000, 620, 2


def write_image(path: Path, figure: go.Figure) -> None:
    """Write a figure as its suffix says; InputError in one line where nothing here can draw it."""
    if find_spec("kaleido") is None:
        raise InputError(f"{path}: kaleido is not installed: {HOW}")
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))):
        raise InputError(f"{path}: no Chromium to draw with: {HOW}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        height = figure.layout.height or HEIGHT
        figure.write_image(path, width=WIDTH, height=height, scale=SCALE if path.suffix == ".png" else 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{path}: cannot be drawn: {str(error).splitlines()[0]}; {HOW}") from None
