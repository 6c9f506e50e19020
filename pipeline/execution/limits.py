"""What a worker's process may take: time for a recording, memory; and how often it may die."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

MEMORY_SHARE = 0.8  # of the machine's memory, for all workers together
LEAST_MEMORY_BYTES = 2_000_000_000  # a worker's share on a machine with many cores, little memory
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Limits:
    """Limits of one worker; see `ExecutionSettings`, where they are named."""

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
        """Fill in the memory limit, for a worker that gets `share` (0 to 1) of this machine."""
        if self.memory_bytes is not None:
            return self
        fair = int(MEMORY_SHARE * machine_memory() * min(share, 1.0))
        return replace(self, memory_bytes=max(fair, LEAST_MEMORY_BYTES))


def machine_memory() -> int:
    """Return the bytes of memory that this machine, or the container around us, has."""
    found = [psutil.virtual_memory().total]
    for name in _CGROUP_LIMITS:
        if os.access(name, os.R_OK) and (text := Path(name).read_text().strip()).isdigit():
            found.append(int(text))
    return int(min(found))


def used_memory(process: psutil.Process) -> int:
    """Return the bytes of memory that only this process holds; 0 when it is gone.

    Pages of mapped files (tables, model weights) are left out where the system tells them apart.
    """
    try:
        info = process.memory_info()
    except psutil.Error:
        return 0
    return int(info.rss - getattr(info, "shared", 0))
