"""Samplers: what proposes the members of a space."""
