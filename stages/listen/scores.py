"""What is known of a spoken clip, and by which rules it is not used."""

from __future__ import annotations

from wavemill.stages.score import Aspect, AtLeast, AtMost, Rule, Score


def _score(
    column: str,
    title: str,
    description: str,
    aspect: Aspect,
    *rules: Rule,
    nullable: bool = False,
    unit: str = "",
) -> Score:
    return Score(
        column=column,
        title=title,
        description=description,
        aspect=aspect,
        unit=unit,
        nullable=nullable,
        rules=rules,
    )


SCORES = (
    _score(
        "duration_s",
        "Duration",
        "Length of the clip",
        Aspect.EXTENT,
        AtMost("clip_too_long", asr=60.0),
        AtLeast("clip_too_short", asr=0.3),
        unit="s",
    ),
    _score(
        "similarity",
        "Similarity to the voice",
        "Cosine of the clip's embedding to that of a known sentence in the same voice; "
        "null: less than a second",
        Aspect.EXTENT,
        AtLeast("other_voice", asr=0.5),
        nullable=True,
    ),
    _score(
        "clipped",
        "Clipped samples",
        "Share of samples at full scale",
        Aspect.SIGNAL,
        AtMost("clipped_sound", asr=0.001),
    ),
    _score(
        "longest_pause_s",
        "Longest pause",
        "Longest silence within the clip",
        Aspect.SIGNAL,
        AtMost("pause_too_long", asr=1.5),
        unit="s",
    ),
    _score(
        "edge_silence_s",
        "Silence at the edges",
        "The longer of the silences before and after the speech",
        Aspect.SIGNAL,
        AtMost("silent_edges", asr=0.6),
        unit="s",
    ),
    _score(
        "dnsmos_overall",
        "DNSMOS overall",
        "DNSMOS P.835 overall, 1 to 5; null: too short",
        Aspect.QUALITY,
        AtLeast("low_dnsmos", asr=2.2),
        nullable=True,
    ),
    _score(
        "word_error",
        "Word error",
        "Words heard otherwise, by words of the text; numbers may be written in any way",
        Aspect.RECOGNITION,
        AtMost("heard_otherwise", asr=0.2),
    ),
    _score(
        "asr_confidence",
        "Confidence of the listener",
        "Of the transcriber, 0 to 1",
        Aspect.RECOGNITION,
    ),
    _score(
        "words_per_second",
        "Speaking rate",
        "Words of the text by the length of the clip",
        Aspect.WORDING,
        AtMost("spoken_too_fast", asr=5.5),
        AtLeast("spoken_too_slowly", asr=0.6),
    ),
)
