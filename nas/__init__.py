"""nas: neural architecture search for tiny vision models under a hard parameter cap."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Return `load_study` when it is asked for: `import nas` loads neither pandas nor Optuna."""
    if name == "load_study":
        from importlib import import_module

        return import_module("nas.report.frame").load_study
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
