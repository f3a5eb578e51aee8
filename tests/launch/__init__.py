"""Tests of the launchers: on submitit's executor of this machine, on a Ray cluster of two nodes, on a Slurm of one."""
