"""Shards: stable lists of recordings, the unit of work and of storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from manifests.recording import Recording
from manifests.table import audio_digest, label_digest
from pipeline.digest import digest_of_lines

MEMBERS_SCHEMA = pa.schema(
    [
        pa.field("shard_id", pa.string(), False, {"description": "shard of the recording"}),
        pa.field("recording_id", pa.string(), False, {"description": "hash of the content"}),
        pa.field(
            "audio_digest", pa.string(), False, {"description": "hash of id, regions, item spans"}
        ),
        pa.field(
            "active",
            pa.bool_(),
            False,
            {"description": "false once the recording left the sources; it stays a member"},
        ),
    ]
)


@dataclass(frozen=True)
class Member:
    """A recording's place in a shard, kept for good so that outputs keep their names."""

    shard_id: str
    recording_id: str
    audio_digest: str
    active: bool = True


@dataclass(frozen=True)
class Shard:
    """What a worker gets to do: descriptors only, never audio."""

    shard_id: str
    member_digest: str  # hash over all members, also those that left
    recordings: tuple[Recording, ...]  # the active members, sorted by id

    @cached_property
    def label_digest(self) -> str:
        """Hash of everything the manifest says of the active members."""
        lines = [self.member_digest, *(label_digest(r) for r in self.recordings)]
        return digest_of_lines(lines, 12)

    @property
    def duration_ms(self) -> int:
        return sum(r.duration_ms for r in self.recordings)


def assign_shards(
    recordings: Sequence[Recording], known: Sequence[Member], shard_seconds: float
) -> tuple[list[Shard], list[Member]]:
    """Return the shards of `recordings` and the membership to remember.

    A recording that is a member stays where it is. New ones, in the order of their ids, are
    gathered into new shards of about `shard_seconds` (a longer recording makes a longer shard).
    A member that is gone becomes inactive for good: should it come back, it joins a new shard,
    since outputs made in between lack its rows.
    """
    digests = {r.recording_id: audio_digest(r) for r in recordings}
    kept = [
        Member(
            m.shard_id,
            m.recording_id,
            m.audio_digest,
            m.active and digests.get(m.recording_id) == m.audio_digest,
        )
        for m in known
    ]
    placed = {m.recording_id for m in kept if m.active}
    fresh = sorted((r for r in recordings if r.recording_id not in placed), key=_by_id)
    taken = {m.shard_id for m in kept}
    for group in _groups(fresh, shard_seconds):
        members = [digests[r.recording_id] for r in group]
        shard_id = _new_shard_id(members, taken)
        taken.add(shard_id)
        kept.extend(Member(shard_id, r.recording_id, digests[r.recording_id]) for r in group)
    return _shards(recordings, kept), kept


def _by_id(recording: Recording) -> str:
    return recording.recording_id


def _groups(recordings: Sequence[Recording], shard_seconds: float) -> list[list[Recording]]:
    """Cut the list where the running duration passes a multiple of the shard's length."""
    groups: dict[int, list[Recording]] = {}
    elapsed_ms = 0
    for recording in recordings:
        groups.setdefault(int(elapsed_ms / (shard_seconds * 1000)), []).append(recording)
        elapsed_ms += recording.duration_ms
    return list(groups.values())


def _new_shard_id(members: Sequence[str], taken: set[str]) -> str:
    """Name a shard by its members; a number is added where they were a shard before."""
    attempt = 0
    while True:
        shard_id = digest_of_lines([*members, *([str(attempt)] if attempt else [])])
        if shard_id not in taken:
            return shard_id
        attempt += 1


def _shards(recordings: Sequence[Recording], members: Sequence[Member]) -> list[Shard]:
    by_id = {r.recording_id: r for r in recordings}
    by_shard: dict[str, list[Member]] = {}
    for member in members:
        by_shard.setdefault(member.shard_id, []).append(member)
    shards = []
    for shard_id, group in by_shard.items():
        active = sorted((by_id[m.recording_id] for m in group if m.active), key=_by_id)
        if active:
            digest = digest_of_lines(sorted(m.audio_digest for m in group), 12)
            shards.append(Shard(shard_id, digest, tuple(active)))
    return sorted(shards, key=lambda s: s.shard_id)
