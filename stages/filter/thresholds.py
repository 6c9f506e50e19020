"""Thresholds of the filter, one set for each kind of input."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Thresholds(BaseModel):
    """A value equal to its threshold passes; None switches the rule off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_missing_ratio: float | None = 0.05  # rounding at the end of a file is no fault
    min_peak_dbfs: float | None = -80.0  # below: digital silence
    min_duration_s: float | None = None
    max_duration_s: float | None = None
    min_speech_ratio: float | None = None
    max_overlap_ratio: float | None = None
    max_clipping_ratio: float | None = None
    min_snr_db: float | None = None
    min_dnsmos_overall: float | None = None
    min_dnsmos_signal: float | None = None
    min_dnsmos_background: float | None = None
    allowed_languages: tuple[str, ...] | None = None
    min_language_probability: float | None = None
    min_text_length: int | None = 1  # characters
    max_no_speech_probability: float | None = None
    min_asr_confidence: float | None = None
    max_words_per_second: float | None = None
    min_words_per_second: float | None = None
    max_repeated_ngram_ratio: float | None = None
    max_compression_ratio: float | None = None


class RawThresholds(Thresholds):
    """For segments that diarization cut and a transcriber wrote down."""

    min_duration_s: float | None = 1.0  # below it neither transcript nor speaker can be trusted
    max_duration_s: float | None = 30.0  # merging stops at 27 s; a longer one was never cut
    min_speech_ratio: float | None = 0.5
    max_overlap_ratio: float | None = 0.5
    max_clipping_ratio: float | None = 0.01  # clipped on purpose: 0.03; meetings: below 0.0001
    min_snr_db: float | None = 3.0  # the estimate is high there: truly about 0 dB
    # Overall: music alone 1.1, background noise 1.2 to 1.4, meetings 1.2 to 3.0, read speech 3.3.
    min_dnsmos_overall: float | None = 1.5
    min_dnsmos_signal: float | None = 1.5
    min_dnsmos_background: float | None = 1.5
    allowed_languages: tuple[str, ...] | None = ("en", "zh")  # report section 3.1
    min_language_probability: float | None = 0.5
    # PocketSphinx: read English 0.5 to 0.7, meetings 0.2 to 0.8; Mandarin and music taken for
    # English 0.1. Another transcriber has another scale.
    min_asr_confidence: float | None = 0.35  # PocketSphinx on Mandarin 0.22, on music 0.34
    max_words_per_second: float | None = 8.0  # fast Mandarin: 7 characters a second
    min_words_per_second: float | None = 0.3
    max_repeated_ngram_ratio: float | None = 0.3
    max_compression_ratio: float | None = 2.4  # Whisper's own limit


class LabelledThresholds(Thresholds):
    """For items of a manifest: someone chose and labelled them, so only broken ones go.

    Music, events and a digit of 0.3 s are fine, in any language; DNSMOS and SNR do not apply.
    """

    min_duration_s: float | None = 0.1
    max_duration_s: float | None = 60.0
    max_words_per_second: float | None = 15.0  # more: text and audio do not belong together
