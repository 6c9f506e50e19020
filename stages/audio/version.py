"""Which version of a recording a corpus takes: original or enhanced."""

from __future__ import annotations

import hashlib
from typing import Literal

from manifests.recording import Recording

Version = Literal["original", "enhanced"]


def choose_version(recording: Recording, seed: int, enhanced_share: float) -> Version:
    """Choose by a hash of seed and recording id, so that nothing else can change the choice.

    `enhanced_share` of all recordings take the enhanced version (report section 3.1: one half).
    Labelled recordings are not enhanced: always the original.
    """
    if recording.labelled:
        return "original"
    digest = hashlib.sha256(f"{seed}:{recording.recording_id}".encode()).digest()
    position = int.from_bytes(digest[:8]) / 2**64
    return "enhanced" if position < enhanced_share else "original"
