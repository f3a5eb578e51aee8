"""Retraining, from a job to a kept model."""
