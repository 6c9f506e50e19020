"""Limits on the child of a worker: time per recording, memory, number of deaths."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

MEMORY_SHARE = 0.8  # of the machine's memory, for all workers together
MIN_MEMORY_BYTES = 2_000_000_000  # of a worker, even if its share of the machine is less
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Limits:
    """Limits of one worker; `ExecutionSettings` explains them."""

    recording_timeout_s: float = 300.0
    timeout_per_audio_s: float = 30.0
    load_timeout_s: float = 1800.0
    memory_bytes: int | None = None  # None: no limit
    attempts: int = 3
    task_attempts: int = 5

    def recording_s(self, duration_ms: int) -> float:
        """Return how many seconds a recording may take in one stage."""
        return max(self.recording_timeout_s, self.timeout_per_audio_s * duration_ms / 1000)

    def on_this_machine(self, share: float) -> Limits:
        """Return the limits of a worker that gets `share` (0 to 1) of this machine.

        A memory limit that is set stays; otherwise it is the share of the memory.
        """
        if self.memory_bytes is not None:
            return self
        own_share = int(MEMORY_SHARE * machine_memory() * min(share, 1.0))
        return replace(self, memory_bytes=max(own_share, MIN_MEMORY_BYTES))


def machine_memory() -> int:
    """Return the bytes of memory of this machine, or of the container that this runs in."""
    found = [psutil.virtual_memory().total]
    for name in _CGROUP_LIMITS:
        if os.access(name, os.R_OK) and (text := Path(name).read_text("utf-8").strip()).isdigit():
            found.append(int(text))
    return int(min(found))


def used_memory(process: psutil.Process) -> int:
    """Return the bytes of memory that only this process uses; 0 if it has ended.

    Pages of mapped files (tables, model weights) do not count if the system distinguishes them.
    """
    try:
        info = process.memory_info()
    except psutil.Error:
        return 0
    return int(info.rss - getattr(info, "shared", 0))
