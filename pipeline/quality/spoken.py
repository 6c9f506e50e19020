"""Spoken conversations to listen to: questions and answers, kept ones and others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

import duckdb
import soundfile

from wavemill.pipeline.quality.database import has_conversations, outputs_of
from wavemill.pipeline.quality.details import Sound
from wavemill.pipeline.quality.listening import Clip, sound
from wavemill.pipeline.snapshots import Snapshot
from wavemill.pipeline.store import Store
from wavemill.pipeline.task import ShardUpstream
from wavemill.stages.audio.flac import decode_flac
from wavemill.stages.augment.stage import CLEAN, clips_of
from wavemill.stages.recording_stage import Upstream

PER_STATUS = 4  # conversations
CLIP_S = 12  # longer messages are cut
STATUSES = ("kept", "partly kept")
_CLIPS = (*CLEAN, "augment")


@dataclass(frozen=True)
class SpokenMessage:
    """What was said, what was heard, and the sound: as it was spoken, and in its surroundings."""

    segment_id: str
    role: str
    text: str
    heard: str
    voice: str
    word_error: float
    attempts: int
    kept: bool
    rules: tuple[str, ...]  # that it breaks
    sounds: tuple[Sound, ...]  # none where none is stored


@dataclass(frozen=True)
class SpokenConversation:
    """A conversation of which at least one message was spoken."""

    recording_id: str
    source: str
    status: str
    messages: tuple[SpokenMessage, ...]


def read_spoken(
    database: duckdb.DuckDBPyConnection, store: Store, snapshot: Snapshot
) -> tuple[SpokenConversation, ...]:
    """Choose conversations of each status by their hash, and read their sound."""
    if not has_conversations(snapshot):
        return ()
    chosen = database.execute(_CHOSEN, [list(STATUSES), PER_STATUS]).fetchall()
    return tuple(
        SpokenConversation(
            recording_id, source, status, tuple(_messages(database, store, snapshot, recording_id))
        )
        for recording_id, source, status in chosen
    )


def _messages(
    database: duckdb.DuckDBPyConnection, store: Store, snapshot: Snapshot, recording_id: str
) -> Iterator[SpokenMessage]:
    rows = database.execute(_MESSAGES, [recording_id]).fetchall()
    sounds: dict[str, list[Clip]] = {}
    for shard_id in {row[0] for row in rows}:
        sounds |= _sounds(store, snapshot, recording_id, shard_id)
    for _, key, role, text, heard, voice, word_error, attempts, kept, rules in rows:
        made = tuple(sound(clip, encoded=True) for clip in sounds.get(key, ()))
        yield SpokenMessage(
            key, role, text, heard, voice, word_error, attempts, kept, tuple(rules), made
        )


def _sounds(
    store: Store, snapshot: Snapshot, recording_id: str, shard_id: str
) -> dict[str, list[Clip]]:
    found: dict[str, list[Clip]] = {}
    try:
        with conversation_clips(store, snapshot, recording_id, shard_id) as upstream:
            clean = clips_of(upstream, CLEAN)
            for key, (data, rate) in clips_of(upstream).items():
                versions = {"as spoken": clean[key], "in its surroundings": (data, rate)}
                if clean[key][0] == data:
                    del versions["in its surroundings"]
                found[key] = [_clip(name, *one) for name, one in versions.items()]
    except (FileNotFoundError, soundfile.SoundFileError):
        return {}  # purged, or damaged, which `wavemill verify` reports
    return found


@contextmanager
def conversation_clips(
    store: Store, snapshot: Snapshot, recording_id: str, shard_id: str
) -> Iterator[Upstream]:
    """Open the tables with a conversation's clips, for `clips_of`. Raises FileNotFoundError."""
    outputs = outputs_of(store, snapshot, _CLIPS, shard_id)
    with ExitStack() as stack:
        files = {
            stage: tuple(
                stack.enter_context(closing(store.open_table(key)))
                for key in outputs.get(stage, ())
            )
            for stage in _CLIPS
        }
        yield ShardUpstream(recording_id, files, "")


def _clip(name: str, data: bytes, rate: int) -> Clip:
    audio, _ = decode_flac(data)
    return Clip(name, audio[: CLIP_S * rate], rate)


_CHOSEN = """
select recording_id, source, status from conversations where list_contains(?, status)
qualify row_number() over (partition by status order by hash(recording_id), recording_id) <= ?
order by status, hash(recording_id), recording_id
"""
_MESSAGES = """
select shard_id, segment_id, role, text, heard, voice, word_error, attempts, kept, rules
from clips join (select segment_id, shard_id from base.cast) using (segment_id)
where recording_id = ? order by segment_index
"""
