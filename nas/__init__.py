"""nas: neural architecture search for tiny vision models under a hard parameter cap."""

from __future__ import annotations

__version__ = "0.1.0"
