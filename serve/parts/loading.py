"""What every replica does before it reads its part of the model."""

from __future__ import annotations

from pathlib import Path

import torch

from wavemill.model.io.folders import resolve
from wavemill.serve.config import ServeConfig


def prepared(config: ServeConfig) -> Path:
    """Set the threads of PyTorch, and return the folder of the model. Raises WeightsError."""
    torch.set_num_threads(config.threads)
    return resolve(config.model)


def dtype_of(config: ServeConfig) -> torch.dtype | None:
    """Return the data type of the LLM and the acoustic encoder; None: as they are stored."""
    return None if config.dtype == "stored" else getattr(torch, config.dtype)
