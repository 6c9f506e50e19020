"""Cast: who says each message, how fast, and in which pitch; drawn by the conversation's id.

A row is one message as it is to be said. Its segment_id is a hash of text, voice and manner, so
that what follows works only on what was never said in just this way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from wavemill.manifests.filesystems import anchored
from wavemill.manifests.recording import Recording
from wavemill.stages.conversation import clip_id, drawn
from wavemill.stages.recording_stage import RecordingError, Upstream
from wavemill.stages.speak.voices import VoiceRow, read_voices
from wavemill.stages.stage import Stage
from wavemill.stages.tables import batch, field

KOKORO = ("jf_alpha", "jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo")
TRAIN = "train"
SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Conversation: hash of its messages"),
        field("segment_id", pa.string(), "Conversation, message, and hash of how it is said"),
        field("segment_index", pa.int32(), "Message, from 0"),
        field("role", pa.string(), "user or assistant"),
        field("text", pa.string(), "What is said"),
        field("written", pa.string(), "What the source says; null: a message that was added", True),
        field("kind", pa.string(), "Of text: question, number, short, long or plain"),
        field("voice", pa.string(), "Of the speak engine; A+B:0.4 is a blend of two"),
        field("other_voice", pa.string(), "For an attempt after others have failed"),
        field("pace", pa.float64(), "1: as fast as the engine speaks by itself"),
        field("pitch", pa.float64(), "Factor of pitch and formants; 1: the voice's own"),
        field("kept", pa.bool_(), "Always: what is not kept is not cast"),
    ]
)


class CastSettings(BaseModel):
    """Which voices there are, and how much they vary."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    user_voices: tuple[str, ...] = KOKORO  # as the speak engine names them
    assistant_voice: str = "jf_alpha"  # one for the corpus
    # A file of `wavemill voices`, in place of user_voices and blends: each conversation has voices
    # of its own split, or of none.
    voices: Path | None = None
    # So many further user voices, each a blend of two; 0 for engines that know no blends.
    blends: int = Field(20, ge=0)
    # Users speak this much faster or slower, and higher or lower; recorded in each row.
    pace: float = Field(0.12, ge=0, lt=0.5)
    pitch: float = Field(0.06, ge=0, lt=0.5)

    @field_validator("voices")
    @classmethod
    def _from_any_folder(cls, place: Path | None) -> Path | None:
        return None if place is None else Path(anchored(str(place)))

    @model_validator(mode="after")
    def _can_be_blended(self) -> CastSettings:
        if not self.user_voices:
            raise ValueError("user_voices names no voice")
        if self.blends and len(self.user_voices) < 2:
            raise ValueError("a blend needs two voices: name more user_voices, or set blends=0")
        return self


class Cast(Stage[CastSettings]):
    """The stage; each row depends on the conversation's own id, so order does not matter."""

    name = "cast"
    version = 1
    inputs = ("screen", "rewrite")
    schema = SCHEMA
    Settings = CastSettings
    written = True

    def parameters(self) -> dict[str, Any]:
        """Return the settings, with the names of the voices in place of the file that has them."""
        values = super().parameters()
        del values["voices"]
        if self.settings.voices is None:
            return values
        named = [[one.name, one.split] for one in self._voices]
        return {**values, "user_voices": named, "blends": 0}

    @cached_property
    def _voices(self) -> list[VoiceRow]:
        return [] if self.settings.voices is None else read_voices(self.settings.voices)

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        if not any(row["kept"] for row in upstream.table("screen", ["kept"]).to_pylist()):
            return
        dialogue = recording.recording_id
        rows = []
        for script in upstream.table("rewrite", ["messages"]).to_pylist():
            of_user = self._manner(recording)
            of_assistant = {
                "voice": self.settings.assistant_voice,
                "other_voice": self.settings.assistant_voice,
                "pace": 1.0,
                "pitch": 1.0,
            }
            for index, message in enumerate(script["messages"]):
                manner = of_user if message["role"] == "user" else of_assistant
                text = message["text"]
                rows.append(
                    {
                        "recording_id": dialogue,
                        "segment_id": clip_id(dialogue, index, text, *manner.values()),
                        "segment_index": index,
                        **message,
                        "kind": kind_of(message["written"] or text, text),
                        **manner,
                        "kept": True,
                    }
                )
        if rows:
            yield batch(rows, SCHEMA)

    def user_voices(self, split: str | None) -> list[str]:
        """Return the voices of users: those that are named, and blends of them.

        Of a file of voices, those of a split; a conversation without one is to learn from.
        """
        if self.settings.voices is not None:
            splits = (None, split or TRAIN)
            return [voice.name for voice in self._voices if voice.split in splits]
        named = self.settings.user_voices
        return [*named, *blends(named, self.settings.blends)]

    def _manner(self, recording: Recording) -> dict[str, Any]:
        """Return voice, other voice, pace and pitch of the user. Raises RecordingError: `no_voice`.

        The voices are the two with the highest hashes: a further one takes its share and moves
        nothing else.
        """
        seed, dialogue = self.settings.seed, recording.recording_id
        voices = self.user_voices(recording.split)
        if not voices:
            raise RecordingError(
                "no_voice", f"{self.settings.voices} has no voice of the split {recording.split!r}"
            )
        ranked = sorted(voices, key=lambda name: drawn(seed, dialogue, "voice", name))
        pace = 1 + self.settings.pace * (2 * drawn(seed, dialogue, "pace") - 1)
        pitch = 1 + self.settings.pitch * (2 * drawn(seed, dialogue, "pitch") - 1)
        return {
            "voice": ranked[-1],
            "other_voice": ranked[-2:][0],
            "pace": round(pace, 2),
            "pitch": round(pitch, 2),
        }


def blends(voices: Sequence[str], count: int) -> list[str]:
    """Return the names of `count` different blends, evenly over the pairs of voices."""
    pairs = [(a, b) for at, a in enumerate(voices) for b in voices[at + 1 :]]
    shares = (0.5, 0.35, 0.65, 0.2, 0.8)
    found = [f"{a}+{b}:{share}" for share in shares for a, b in pairs]
    return found[:count]


def kind_of(written: str, text: str) -> str:
    """Return the kind of a message: of what gives speakers trouble, the first that holds."""
    words = len(text.split())
    checks: dict[str, Any] = {
        "number": any(char.isdigit() for char in written),
        "short": words < 4,
        "long": words > 40,
        "question": text.rstrip().endswith("?"),
    }
    return next((name for name, holds in checks.items() if holds), "plain")
