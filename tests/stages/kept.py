"""Recordings in memory whose segments the verdict keeps, or some of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile

from tests.support import MemoryUpstream
from wavemill.manifests.identify import content_id
from wavemill.manifests.recording import Item, Recording
from wavemill.stages.audio.block_table import STAGE_OF
from wavemill.stages.audio.flac import encode_flac
from wavemill.stages.audio.version import AudioVersionSettings
from wavemill.stages.segments import segments_of
from wavemill.stages.stage import SharedSettings

RATE = 48_000
SPANS = [(0, 1000), (1000, 1081), (1200, 3000)]
RAW = Recording("r", "r.wav", 3000)
TEXTS = ["one", "two", ""]


def audio() -> np.ndarray:
    values = np.random.default_rng(0).integers(-3000, 3000, 3 * RATE)
    return (values / 32768).astype(np.float32)


def name(span: tuple[int, int]) -> str:
    return f"r-0-{span[0]}-{span[1]}"


def upstream(kept: list[bool], version_gain: float = 0.5) -> MemoryUpstream:
    versions = {"original": audio(), "enhanced": np.float32(version_gain) * audio()}
    blocks = {
        version: {
            "recording_id": "r",
            "track": 0,
            "version": version,
            "start_ms": 0,
            "end_ms": 3000,
            "sample_rate": RATE,
            "missing": [],
            "audio": encode_flac(samples, RATE),
        }
        for version, samples in versions.items()
    }
    diarize = [
        {
            "recording_id": "r",
            "segment_id": name(span),
            "segment_index": index,
            "track": 0,
            "start_ms": span[0],
            "end_ms": span[1],
            "speaker": "S00",
            "speech_ms": 80,
            "overlap_ratio": 0.0,
            "speaker_similarity": 1.0,
        }
        for index, span in enumerate(SPANS)
    ]
    pairs = list(zip(SPANS, kept, TEXTS, strict=True))
    verdict = [{"recording_id": "r", "segment_id": name(s), "kept": k} for s, k, _ in pairs]
    transcribe = [{"recording_id": "r", "segment_id": name(s), "text": t} for s, _, t in pairs]
    rows = {STAGE_OF[version]: [block] for version, block in blocks.items()}
    rows |= {"diarize": diarize, "verdict": verdict, "transcribe": transcribe}
    return MemoryUpstream("r", {stage: pa.Table.from_pylist(r) for stage, r in rows.items()})


def shared(enhanced_share: float) -> SharedSettings:
    chosen = AudioVersionSettings(seed=0, enhanced_share=enhanced_share)
    return SharedSettings(audio_version=chosen)


def labelled(path: Path) -> tuple[Recording, MemoryUpstream]:
    """Return a recording with two items, at 8 kHz, and the verdict that keeps both."""
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(8000), 8000)
    items = (Item("b", 500, 1000, answer="a dog"), Item("a", 0, 500, text="seven <|en|>"))
    recording = Recording(content_id(str(path)), str(path), 1000, items=items)
    key = recording.recording_id
    segments = segments_of(recording, MemoryUpstream(key, {}))
    verdict = [{"recording_id": key, "segment_id": s.segment_id, "kept": True} for s in segments]
    return recording, MemoryUpstream(key, {"verdict": pa.Table.from_pylist(verdict)})
