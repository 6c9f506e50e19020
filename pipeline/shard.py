"""Shards: stable lists of recordings, the unit of work and of storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wavemill.manifests.recording import Recording
from wavemill.pipeline.digest import digest_of_lines


@dataclass(frozen=True)
class Shard:
    """The unit of work of a worker: descriptors of recordings, never audio."""

    shard_id: str
    label_digest: str  # hash of everything that manifests say about `recordings`
    duration_ms: int
    recordings: tuple[Recording, ...]  # the active ones, sorted by id


def group_by_duration(durations_ms: Sequence[int], shard_seconds: float) -> list[range]:
    """Divide a list of recordings into ranges of indices of about `shard_seconds` each.

    A new range begins where the running duration passes a multiple of `shard_seconds`, so a range
    with a long recording is longer.
    """
    groups: list[range] = []
    first, elapsed_ms, number = 0, 0, 0
    for index, duration in enumerate(durations_ms):
        if (now := int(elapsed_ms / (shard_seconds * 1000))) != number:
            groups.append(range(first, index))
            first, number = index, now
        elapsed_ms += duration
    if durations_ms:
        groups.append(range(first, len(durations_ms)))
    return [group for group in groups if group]


def new_shard_id(member_digests: Sequence[str], taken: set[str]) -> str:
    """Return a shard's id, a hash of its members and, if that id is taken, of a number.

    The same members may have been a shard before, and its outputs may lack rows of members that
    were inactive for a while.
    """
    attempt = 0
    while True:
        shard_id = digest_of_lines([*member_digests, *([str(attempt)] if attempt else [])])
        if shard_id not in taken:
            return shard_id
        attempt += 1
