"""`python -m nas`."""

from __future__ import annotations

from nas.cli import main

main()
