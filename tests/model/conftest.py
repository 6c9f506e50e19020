"""Imports what has to come before transformers."""

from __future__ import annotations

import wavemill.model.blocks  # noqa: F401
