"""Score tables for tests."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from wavemill.stages.filter import score_audio, score_text

GOOD: dict[str, Any] = {
    "recording_id": "r",
    "segment_id": "r-0-0-8000",
    "text_source": "asr",
    "duration_s": 8.0,
    "speech_ratio": 0.9,
    "overlap_ratio": 0.0,
    "speaker_similarity": 0.8,
    "language": "en",
    "language_probability": None,
    "text_length": 80,
    "chars_per_second": 10.0,
    "words_per_second": 2.5,
    "repeated_ngram_ratio": 0.0,
    "compression_ratio": 1.2,
    "asr_confidence": 0.8,
    "avg_logprob": None,
    "no_speech_prob": None,
    "audio_version": "original",
    "missing_ratio": 0.0,
    "peak_dbfs": -3.0,
    "snr_db": 20.0,
    "clipping_ratio": 0.0,
    "dnsmos_overall": 3.0,
    "dnsmos_signal": 3.2,
    "dnsmos_background": 3.5,
}
DIGIT = GOOD | {
    "text_source": "manifest",
    "duration_s": 0.3,
    "speech_ratio": None,
    "overlap_ratio": None,
    "speaker_similarity": None,
    "asr_confidence": None,
    "text_length": 3,
    "words_per_second": 3.3,
    "dnsmos_overall": 1.1,
}

_FIELDS = {f.name: f for schema in (score_text.SCHEMA, score_audio.SCHEMA) for f in schema}
SCORES = pa.schema(list(_FIELDS.values()))


def scores(*rows: dict[str, Any]) -> pa.Table:
    """One table as `join_scores` makes it."""
    return pa.Table.from_pylist(list(rows), schema=SCORES)
