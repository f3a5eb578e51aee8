"""Launchers: how the workers of a study come to run on a cluster. They start `nas worker` and know nothing else."""
