"""Rewrite: what people would say in place of what is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from wavemill.manifests.reasons import Reason
from wavemill.manifests.recording import Recording
from wavemill.stages.conversation import Message, messages_of
from wavemill.stages.engine import StageSettings, with_engines
from wavemill.stages.recording_stage import RecordingError, Upstream
from wavemill.stages.rewrite.engine import NotRewritten, RewriteEngine
from wavemill.stages.rewrite.engines import ENGINES
from wavemill.stages.stage import EngineStage
from wavemill.stages.tables import batch, field

MESSAGE = pa.struct(
    [
        field("role", pa.string(), "user or assistant"),
        field("text", pa.string(), "What is said: words and punctuation"),
        field("written", pa.string(), "What the source says; null: a message that was added", True),
    ]
)
SCHEMA = pa.schema(
    [
        field("recording_id", pa.string(), "Conversation: hash of its messages"),
        field("segment_id", pa.string(), "The same"),
        field("messages", pa.list_(MESSAGE), "In order, roles taking turns"),
    ]
)


class RewriteSettings(StageSettings):
    """Settings of rewrite."""

    engine: str = "rules"


Config = with_engines(RewriteSettings, ENGINES)


class Rewrite(EngineStage[RewriteSettings, RewriteEngine[Any]]):
    """The stage; of the conversations that `screen` keeps."""

    name = "rewrite"
    version = 1
    schema = SCHEMA
    engines = ENGINES
    Settings = Config
    selected_by = "screen"
    written = True

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        """Yield one row. Raises RecordingError: `nothing_to_say`, or what the engine says."""
        if not upstream.table("screen", ["segment_id"]).num_rows:
            return
        messages = messages_of(recording)
        try:
            said = self.engine.rewrite(messages)
        except NotRewritten as error:
            reason = Reason.SERVER_DOWN if error.passing else error.reason
            raise RecordingError(reason, str(error)) from None
        for message in said:
            if not message.text:
                raise RecordingError(
                    "nothing_to_say", f"message {message.index + 1} has no words that can be spoken"
                )
        row = {
            "recording_id": recording.recording_id,
            "segment_id": recording.recording_id,
            "messages": _beside(said, messages),
        }
        yield batch([row], SCHEMA)


def _beside(said: Sequence[Message], written: Sequence[Message]) -> list[dict[str, Any]]:
    """Return rows of MESSAGE; where messages were split or joined, none has what was written."""
    same = len(said) == len(written)
    return [
        {"role": one.role, "text": one.text, "written": written[i].text if same else None}
        for i, one in enumerate(said)
    ]
