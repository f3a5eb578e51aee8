"""Tests of the search: studies in databases, proposals, promotion, the loop, and what a kill leaves behind."""
