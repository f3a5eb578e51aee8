"""What all tests share: property tests that draw the same examples on every machine."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("nas", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("nas")
