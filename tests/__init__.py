"""The test-suite; `python -m pytest` runs what CI runs."""
