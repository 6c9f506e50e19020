"""Score tables for tests, and the thresholds that hold with Paraformer."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from wavemill.stages.score_audio.stage import ScoreAudio
from wavemill.stages.score_signal.stage import ScoreSignal
from wavemill.stages.score_text.stage import ScoreText
from wavemill.stages.transcribe.paraformer import Paraformer, ParaformerConfig
from wavemill.stages.verdict.stage import Verdict, VerdictSettings, judge, with_engine
from wavemill.stages.verdict.thresholds import AsrThresholds, LabelledThresholds

SCORING = (ScoreAudio, ScoreSignal, ScoreText)
Judge = Verdict.among(SCORING)
Asr: type[AsrThresholds] = type(Judge.Settings().asr)
Labelled: type[LabelledThresholds] = type(Judge.Settings().labelled)

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

_FIELDS = {f.name: f for stage in SCORING for f in stage.schema}
SCORES = pa.schema(list(_FIELDS.values()))


def settings(asr: AsrThresholds | None = None, **others: Any) -> VerdictSettings:
    """Return settings of the verdict with what Paraformer declares."""
    chosen = Judge.Settings(asr=asr or Asr(), **others)
    return with_engine(chosen, Paraformer(ParaformerConfig()).thresholds())


def judged(table: pa.Table, asr: AsrThresholds | None = None, **others: Any) -> pa.Table:
    """Return the verdicts by all declared rules."""
    return judge(table, settings(asr, **others), Judge.known)


def scores(*rows: dict[str, Any]) -> pa.Table:
    """One table as `join_scores` makes it."""
    return pa.Table.from_pylist(list(rows), schema=SCORES)
