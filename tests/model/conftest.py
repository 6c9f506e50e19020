"""Imports what has to come before transformers, and computes with one thread."""

from __future__ import annotations

import torch

from wavemill.model.blocks import prepare_transformers

prepare_transformers()  # tests import the package itself
# As the commands compute; several threads wait for each other where other programs run.
torch.set_num_threads(1)
