"""Tests of the training loop, its recipes and its plan."""
