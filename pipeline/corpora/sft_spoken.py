"""The corpus of spoken conversations: written ones, spoken, heard again and kept.

Its rows are those of `sft`, in a folder of its own beside it; training on `sft` reads both.
Task `chat`: spoken questions, written answers. Task `conversation`: both sides are spoken, and a
message of the assistant has its text with its sound. Task `asr`: what a user says, to be written
down, behind an instruction as in `sft`; its text is known, since it was spoken from text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from wavemill.manifests.copies import ADDED
from wavemill.manifests.recording import Recording
from wavemill.pipeline.corpora.instructions import instructions_digest
from wavemill.pipeline.corpora.instructions.choice import choose_instruction, written_language
from wavemill.pipeline.corpora.sft import HUGGINGFACE, SCHEMA
from wavemill.stages.augment.stage import clips_of
from wavemill.stages.conversation import system_of
from wavemill.stages.recording_stage import Upstream
from wavemill.stages.stage import Stage
from wavemill.stages.tables import batch

SpokenTask = Literal["chat", "conversation", "asr"]
ASSISTANT = "assistant"
SURROUNDINGS = ("rt60_s", "direct_db", "noise", "snr_db", "telephone")
ASR: Final = "asr"


class SftSpokenSettings(BaseModel):
    """Which samples are made of a conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: tuple[SpokenTask, ...] = ("chat", "conversation")
    seed: int = 0  # of which instruction asks for a transcript


class SftSpoken(Stage[SftSpokenSettings]):
    """The corpus as a stage."""

    name = "sft_spoken"
    version = 2
    inputs = ("cast", "speak", "listen", "verdict_spoken", "augment", "tokenize_spoken")
    schema = SCHEMA.with_metadata({"huggingface": HUGGINGFACE})
    Settings = SftSpokenSettings
    reads_labels = True
    written = True
    corpus = True

    def parameters(self) -> dict[str, Any]:
        found = super().parameters()
        if ASR in self.settings.tasks:
            return {**found, "instructions": instructions_digest()}
        del found["seed"]  # which says nothing without instructions
        return found

    def __call__(self, recording: Recording, upstream: Upstream) -> Iterator[pa.RecordBatch]:
        """Yield a row for each task of which all that is spoken was kept; `asr`: for each clip."""
        messages = upstream.table("cast").to_pylist()
        if not messages:
            return
        verdicts = upstream.table("verdict_spoken", ["segment_id", "kept"]).to_pylist()
        kept = {row["segment_id"] for row in verdicts if row["kept"]}
        clips = _Clips(upstream)
        for task in self.settings.tasks:
            if task == ASR:
                for message in messages:
                    if message["role"] != ASSISTANT and message["segment_id"] in kept:
                        row = self._transcript(recording, message, clips, upstream.lineage_id)
                        yield batch([row], SCHEMA)
                continue
            spoken = [m for m in messages if task == "conversation" or m["role"] != ASSISTANT]
            if all(message["segment_id"] in kept for message in spoken):
                yield batch([_row(recording, task, messages, clips, upstream.lineage_id)], SCHEMA)

    def _transcript(
        self, recording: Recording, message: Mapping[str, Any], clips: _Clips, lineage_id: str
    ) -> dict[str, Any]:
        name = f"{recording.recording_id}-{message['segment_index']}-{ASR}"
        row = _row(recording, ASR, [message], clips, lineage_id)
        empty = {"kind": "text", "audio": None, "semantic_tokens": None}
        language = written_language(message["text"], recording.language)
        asked = choose_instruction(ASR, None, language, self.settings.seed, name)
        return row | {
            "sample_id": name,
            "messages": [
                {"role": "user", "text": asked, **empty},
                *row["messages"],
                {"role": ASSISTANT, "text": message["text"], **empty},
            ],
        }


class _Clips:
    """Sound, tokens and what was heard of each clip."""

    def __init__(self, upstream: Upstream) -> None:
        self.sounds = clips_of(upstream)
        tokens = upstream.table("tokenize_spoken", ["segment_id", "semantic_tokens"]).to_pylist()
        self.tokens = {row["segment_id"]: row["semantic_tokens"] for row in tokens}
        columns = ["segment_id", "voice", "seed", "heard", "word_error"]
        heard = upstream.table("listen", columns).to_pylist()
        self.heard = {row["segment_id"]: row for row in heard}
        places = upstream.table("augment", ["segment_id", *SURROUNDINGS]).to_pylist()
        self.places = {row["segment_id"]: row for row in places}


def _row(
    recording: Recording,
    task: SpokenTask,
    messages: Sequence[Mapping[str, Any]],
    clips: _Clips,
    lineage_id: str,
) -> dict[str, Any]:
    first = messages[0]
    return {
        "sample_id": f"{recording.recording_id}-{task}",
        "recording_id": recording.recording_id,
        "task": task,
        "source": recording.uri,
        "speaker": clips.heard[first["segment_id"]]["voice"],
        "language": recording.language or "en",
        "license": recording.license,
        "split": recording.split,
        "messages": [_message(message, task, clips) for message in messages],
        "metadata": _metadata(recording, task, messages, clips),
        "lineage_id": lineage_id,
    }


def _message(message: Mapping[str, Any], task: SpokenTask, clips: _Clips) -> dict[str, Any]:
    role, key = message["role"], message["segment_id"]
    answers = role == ASSISTANT
    if answers and task == "chat":
        text = message["written"] or message["text"]
        return {"role": role, "kind": "text", "text": text, "audio": None, "semantic_tokens": None}
    return {
        "role": role,
        "kind": "audio",
        "text": message["text"] if answers else None,
        "audio": {"bytes": clips.sounds[key][0], "path": f"{key}.flac"},
        "semantic_tokens": clips.tokens[key],
    }


def _metadata(
    recording: Recording,
    task: SpokenTask,
    messages: Sequence[Mapping[str, Any]],
    clips: _Clips,
) -> str:
    """Return the source's own fields, and of every message what was said, and how."""
    spoken = []
    for message in messages:
        about = {name: message[name] for name in ("role", "written", "text")}
        if task == "conversation" or message["role"] != ASSISTANT:
            heard = clips.heard[message["segment_id"]]
            about |= {name: message[name] for name in ("pace", "pitch")}
            about |= {name: heard[name] for name in ("voice", "seed", "heard")}
            about["word_error"] = round(heard["word_error"], 4)
            about["clip"] = message["segment_id"]
            place = clips.places[message["segment_id"]]
            if changed := {name: place[name] for name in SURROUNDINGS if place[name]}:
                about["surroundings"] = changed
        spoken.append(about)
    own = {k: v for k, v in json.loads(recording.metadata).items() if k not in ADDED}
    if (system := system_of(recording)) is not None:
        own["system"] = system
    return json.dumps({**own, "spoken": spoken}, ensure_ascii=False, sort_keys=True)
