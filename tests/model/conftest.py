"""Imports what has to come before transformers, and computes with one thread."""

from __future__ import annotations

import torch

import wavemill.model.blocks  # noqa: F401  (before transformers itself)

# As the commands compute; several threads wait for each other where other programs run.
torch.set_num_threads(1)
