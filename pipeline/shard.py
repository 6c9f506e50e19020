"""Shards: stable lists of recordings, the unit of work and of storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wavemill.manifests.recording import Recording
from wavemill.pipeline.digest import digest_of_lines


@dataclass(frozen=True)
class Shard:
    """What a worker gets to do: descriptors only, never audio."""

    shard_id: str
    label_digest: str  # hash of everything that the manifest says of `recordings`
    duration_ms: int
    recordings: tuple[Recording, ...]  # those that are there now, sorted by id


def group_by_duration(durations_ms: Sequence[int], shard_seconds: float) -> list[range]:
    """Cut a list of recordings into runs of about `shard_seconds`: ranges of indices.

    The cuts lie where the running duration passes a multiple of the shard's length, so a long
    recording makes a longer shard.
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
    """Name a shard by its members; a number is added where they were a shard before.

    Outputs of that earlier shard may lack rows of members that were away for a while.
    """
    attempt = 0
    while True:
        shard_id = digest_of_lines([*member_digests, *([str(attempt)] if attempt else [])])
        if shard_id not in taken:
            return shard_id
        attempt += 1
