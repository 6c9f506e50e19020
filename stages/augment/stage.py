"""Augment: users in rooms, in noise, and on the telephone.

Everything of a conversation is heard in the same surroundings, drawn by its id. The clip as it was
spoken stays where it is (`speak`, `listen`), so that each has its clean twin of the same id.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import field_validator

from wavemill.manifests.filesystems import anchored
from wavemill.manifests.recording import Recording
from wavemill.stages.audio.flac import decode_flac, encode_flac
from wavemill.stages.augment.noises import Noises
from wavemill.stages.augment.surroundings import (
    COLOURED,
    SurroundingsConfig,
    surrounded,
    surroundings_of,
)
from wavemill.stages.conversation import role_of
from wavemill.stages.recording_stage import Upstream
from wavemill.stages.stage import Stage
from wavemill.stages.tables import batch, field

CLEAN = ("speak", "listen")  # the stages that have clips as they were spoken
SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Conversation: hash of its messages"),
        field("segment_id", pa.string(), "The message and how it was to be said, as in cast"),
        field("rt60_s", pa.float64(), "Reverberation time of the room; null: none", True),
        field("direct_db", pa.float64(), "Of the voice over its reverberation", True),
        field("noise", pa.string(), "`coloured`, or start of a file's SHA-256; null: none", True),
        field("snr_db", pa.float64(), "Of the voice, pauses left out, over the noise", True),
        field("telephone", pa.bool_(), "Whether it has the band and the code of a telephone"),
        field("sample_rate", pa.int32(), "Of audio, in Hz"),
        field("audio", pa.binary(), "The clip in its surroundings as FLAC; null: unchanged", True),
    ]
)


class AugmentSettings(SurroundingsConfig):
    """Settings of augment."""

    noises: tuple[Path, ...] = ()  # recordings, or folders of them; none: coloured noise

    @field_validator("noises")
    @classmethod
    def _from_any_folder(cls, places: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(Path(anchored(str(place))) for place in places)


class Augment(Stage[AugmentSettings]):
    """The stage; the assistant's clips stay as they are."""

    name = "augment"
    version = 1
    inputs = CLEAN  # not cast: a new one keeps what there is
    schema = SCHEMA
    Settings = AugmentSettings
    selected_by = "verdict_spoken"
    written = True

    @classmethod
    def needs_worker(cls) -> bool:
        return True  # it decodes recordings of noise

    def parameters(self) -> dict[str, Any]:
        """Return the settings, and which recordings there are in place of where they are."""
        return {**super().parameters(), "noises": Noises(self.settings.noises).names}

    def load(self, device: str) -> None:
        del device
        self._noises = Noises(self.settings.noises)

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        """Yield a row for each clip. Raises RecordingError: `bad_noise`."""
        place = surroundings_of(recording.recording_id, self.settings, self._noises.names)
        clips = clips_of(upstream, CLEAN)
        for key in upstream.table("verdict_spoken", ["segment_id"])["segment_id"].to_pylist():
            data, rate = clips[key]
            changed = role_of(key) == "user" and not place.quiet
            row: dict[str, Any] = {
                "recording_id": recording.recording_id,
                "segment_id": key,
                "rt60_s": place.rt60_s if changed else None,
                "direct_db": place.direct_db if changed else None,
                "noise": place.noise if changed else None,
                "snr_db": place.snr_db if changed else None,
                "telephone": place.telephone and changed,
                "sample_rate": rate,
                "audio": None,
            }
            if changed:
                noise = None
                if place.noise not in (None, COLOURED):
                    noise = self._noises.sound(place.noise, rate)
                made, made_rate = surrounded(
                    decode_flac(data)[0], rate, place, noise, key, self.settings.silence_db
                )
                row |= {"sample_rate": made_rate, "audio": encode_flac(made, made_rate)}
            yield batch([row], SCHEMA)


def clips_of(
    upstream: Upstream, stages: tuple[str, ...] = (*CLEAN, "augment")
) -> dict[str, tuple[bytes, int]]:
    """Return FLAC and rate of every clip, as the last of `stages` has it that changed it."""
    columns = ["segment_id", "audio", "sample_rate"]
    found: dict[str, tuple[bytes, int]] = {}
    for stage in stages:
        for row in upstream.table(stage, columns).to_pylist():
            if row["audio"] is not None:
                found[row["segment_id"]] = row["audio"], row["sample_rate"]
    return found
