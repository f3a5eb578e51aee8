"""Data sets held in memory: where they lie, how they are read and split, and how batches are drawn and augmented.

`spec` and `files` import no torch, so a command line can check its input at once; `load` is the entrance to
the rest. Nothing here prints, seeds a global generator or opens a pickle.
"""
