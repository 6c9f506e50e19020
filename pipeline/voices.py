"""Prompts of voices out of a corpus: short clean stretches of one speaker each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from wavemill.model.data.files import Stored, corpus_files, stored_audio
from wavemill.model.data.source import DataError, Problems
from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.corpora.pretrain import AUDIO

ABOUT = ["recording_id", "segment_id", "source", "start_ms", "end_ms", "language", "text",
         "text_source", "sample_rate", "audio_version", "semantic_tokens", "license"]  # fmt: skip
SCORES = ["dnsmos_overall", "snr_db", "speaker_similarity", "overlap_ratio"]
SCHEMA = pa.schema(
    [
        pa.field("voice", pa.string(), False),  # recording and speaker, or the manifest's speaker
        pa.field("speaker", pa.string()),
        pa.field("split", pa.string()),
        pa.field("duration", pa.float64(), False),  # seconds
        pa.field("recording_id", pa.string(), False),
        pa.field("segment_id", pa.string(), False),
        pa.field("source", pa.string()),
        pa.field("start_ms", pa.int64()),
        pa.field("end_ms", pa.int64()),
        pa.field("language", pa.string()),
        pa.field("text", pa.string()),
        pa.field("text_source", pa.string()),
        pa.field("sample_rate", pa.int32()),
        pa.field("audio_version", pa.string()),
        pa.field("semantic_tokens", pa.list_(pa.int32())),
        pa.field("license", pa.string()),
        *(pa.field(name, pa.float64()) for name in SCORES),
        pa.field("audio", AUDIO),
    ]
)


@dataclass(frozen=True)
class VoiceRules:
    """What a prompt must be; a score that is not known breaks no rule."""

    shortest_s: float = 3.0
    longest_s: float = 10.0
    min_dnsmos: float = 3.0
    min_snr_db: float = 20.0
    min_similarity: float = 0.5  # to the speaker's own embedding
    max_overlap: float = 0.02  # share with a second speaker
    licenses: frozenset[str] | None = None  # None: all
    of_each: int = 1  # prompts of a speaker

    def broken(self, row: Mapping[str, Any]) -> str | None:
        """Return the first rule that a segment breaks."""
        checks = {
            "too_short": row["duration"] < self.shortest_s,
            "too_long": row["duration"] > self.longest_s,
            "license_not_allowed": self.licenses is not None
            and row["license"] not in self.licenses,
            "no_text": not row["text"],
            "low_dnsmos": _below(row["dnsmos_overall"], self.min_dnsmos),
            "low_snr": _below(row["snr_db"], self.min_snr_db),
            "other_speaker": _below(row["speaker_similarity"], self.min_similarity),
            "overlap": (row["overlap_ratio"] or 0.0) > self.max_overlap,
        }
        return next((name for name, holds in checks.items() if holds), None)


@dataclass
class Voices:
    """How many prompts there are, and why others are none."""

    prompts: int = 0
    speakers: int = 0
    rejected: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # by rule


def write_voices(workdir: str, out: Path, rules: VoiceRules) -> Voices:
    """Write the prompts of a WORKDIR's newest corpus to a Parquet file.

    Of each speaker the best rated ones are taken. A speaker who is in several splits is in none
    of them, so that a voice that was trained with is not tested with. Raises ConfigError.
    """
    try:
        files = corpus_files(workdir, "pretrain")
    except DataError as error:
        raise ConfigError(str(error)) from None
    problems, found = Problems(), Voices()
    speakers: dict[str, list[tuple[Stored, dict[str, Any]]]] = defaultdict(list)
    splits: dict[str, set[str | None]] = defaultdict(set)
    columns = [*ABOUT, "speaker", "split", "duration", *SCORES]
    for number, file in enumerate(files.files):
        for place, row in file.rows(columns, problems):
            voice = _voice(row)
            splits[voice].add(row["split"])
            if (rule := rules.broken(row)) is not None:
                found.rejected[rule] += 1
            else:
                speakers[voice].append((Stored(number, place), row))
    apart = {voice for voice, names in splits.items() if len(names) == 1}
    chosen: list[tuple[Stored, dict[str, Any]]] = []
    for voice, rows in sorted(speakers.items()):
        if voice not in apart:
            found.rejected["in_several_splits"] += len(rows)
            continue
        rows.sort(key=lambda one: (-(one[1]["dnsmos_overall"] or 0.0), one[1]["segment_id"]))
        found.rejected["not_needed"] += len(rows[rules.of_each :])
        found.speakers += 1
        chosen += [(at, row | {"voice": voice}) for at, row in rows[: rules.of_each]]
    sounds = stored_audio(files, "pretrain", [at for at, _ in chosen], problems)
    prompts = list(_with_audio(chosen, sounds))
    found.prompts = len(prompts)
    partial = out.with_name(f".{out.name}.partial")
    try:
        pq.write_table(pa.Table.from_pylist(prompts, SCHEMA), partial, compression="zstd")
        partial.replace(out)
    except OSError as error:
        raise ConfigError(f"--out: cannot write {out}: {error.strerror or error}") from None
    found.rejected = {name: count for name, count in found.rejected.items() if count}
    return found


def _with_audio(
    chosen: Collection[tuple[Stored, dict[str, Any]]], sounds: Mapping[Stored, bytes]
) -> Iterator[dict[str, Any]]:
    for at, row in chosen:
        if data := sounds.get(at):
            yield row | {"audio": {"bytes": data, "path": f"{row['segment_id']}.flac"}}


def _voice(row: Mapping[str, Any]) -> str:
    """Return whose voice it is: a diarized label says something within its recording alone."""
    if row["text_source"] == "manifest":
        return str(row["speaker"])
    return f"{row['recording_id']}/{row['speaker']}"


def _below(value: float | None, least: float) -> bool:
    return value is not None and value < least
