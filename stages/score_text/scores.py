"""What is known of a segment without its audio."""

from __future__ import annotations

from wavemill.stages.score import (
    BY_ENGINE,
    COUNT,
    TEXT,
    Aspect,
    AtLeast,
    AtMost,
    OneOf,
    Place,
    Score,
)

SCORES = (
    Score(
        column="duration_s",
        title="Duration",
        description="Length of the segment in seconds",
        aspect=Aspect.EXTENT,
        unit="s",
        nullable=False,
        rules=(
            # Below 1 s neither transcript nor speaker can be trusted. Merging stops at 27 s: a
            # segment above 30 s was never cut.
            AtLeast("too_short", asr=1.0, labelled=0.1),
            AtMost("too_long", asr=30.0, labelled=60.0),
        ),
    ),
    Score(
        column="speech_ratio",
        title="Speech in the segment",
        short="Speech",
        description="Share of the segment that voice activity detection calls speech; "
        "null: labelled",
        aspect=Aspect.EXTENT,
        scale="share",
        better="higher",
        rules=(AtLeast("low_speech_ratio", asr=0.5),),
    ),
    Score(
        column="overlap_ratio",
        title="Overlapped speech",
        short="Overlap",
        description="Share with a second speaker; null: not known",
        aspect=Aspect.EXTENT,
        scale="share",
        better="lower",
        rules=(AtMost("overlapped_speech", asr=0.5),),
        place=Place.CARD,
        corpus_place=8,
    ),
    Score(
        column="speaker_similarity",
        title="Similarity to the speaker",
        description="Cosine of the segment's embedding to its speaker's; null: not known",
        aspect=Aspect.EXTENT,
        scale="-1 to 1",
        better="higher",
        place=Place.VIEWS,
        corpus_place=7,
    ),
    Score(
        column="language",
        title="Language",
        description="Language code; null: a manifest that names none",
        aspect=Aspect.LANGUAGE,
        kind=TEXT,
        # Report section 3.1.
        rules=(OneOf("language_not_allowed", asr=("en", "zh"), setting="allowed_languages"),),
        place=Place.VIEWS,
    ),
    Score(
        column="language_probability",
        title="Certainty of the language",
        short="Language",
        description="Certainty of the language; null: assumed; "
        "0: assumed, but the manifest states another",
        aspect=Aspect.LANGUAGE,
        scale="0 to 1",
        better="higher",
        rules=(AtLeast("low_language_probability", asr=0.5),),
        place=Place.CARD,
        corpus_place=6,
    ),
    Score(
        column="text_length",
        title="Length of the text",
        description="Characters of text without white space; null: an item without a transcript",
        aspect=Aspect.SPEECH,
        unit="characters",
        digits=0,
        kind=COUNT,
        rules=(AtLeast("empty_text", asr=1, labelled=1),),
        place=Place.VIEWS,
    ),
    Score(
        column="chars_per_second",
        title="Characters per second",
        description="text_length by duration; null as there",
        aspect=Aspect.WORDING,
        unit="characters/s",
        digits=1,
        place=Place.VIEWS,
    ),
    Score(
        column="words_per_second",
        title="Speaking rate",
        short="Rate",
        description="Words (Chinese, Japanese, Korean: characters) by duration; "
        "null as text_length",
        aspect=Aspect.WORDING,
        unit="words/s",
        digits=1,
        rules=(
            # Fast Mandarin has 7 characters a second. Of labelled items, at more than 15, text and
            # audio do not belong together.
            AtMost("speech_too_fast", asr=8.0, labelled=15.0),
            AtLeast("speech_too_slow", asr=0.3),
        ),
        place=Place.TABLE,
    ),
    Score(
        column="repeated_ngram_ratio",
        title="Repeated words",
        description="Share of word n-grams that occurred before in the text; null as text_length",
        aspect=Aspect.WORDING,
        scale="share",
        better="lower",
        rules=(AtMost("repeated_ngrams", asr=0.3),),
        place=Place.VIEWS,
    ),
    Score(
        column="compression_ratio",
        title="Compression of the text",
        description="Bytes of text by bytes after zlib (the transcriber's own where it has one)",
        aspect=Aspect.WORDING,
        better="lower",
        rules=(AtMost("high_compression_ratio", asr=2.4),),  # Whisper's own limit
        place=Place.VIEWS,
    ),
    Score(
        column="asr_confidence",
        title="Transcript confidence",
        short="Confidence",
        description="Of the transcriber, 0 to 1; null: labelled",
        aspect=Aspect.RECOGNITION,
        scale="0 to 1",
        better="higher",
        rules=(AtLeast("low_asr_confidence", asr=BY_ENGINE),),  # each engine has its own scale
        place=Place.TABLE,
        corpus_place=5,
    ),
    Score(
        column="avg_logprob",
        title="Log probability of the text",
        description="Mean log probability of tokens; null: unknown",
        aspect=Aspect.RECOGNITION,
        better="higher",
        place=Place.VIEWS,
    ),
    Score(
        column="no_speech_prob",
        title="Probability of no speech",
        description="Of the transcriber; null: unknown",
        aspect=Aspect.SPEECH,
        scale="0 to 1",
        better="lower",
        rules=(AtMost("high_no_speech_probability", setting="max_no_speech_probability"),),
        place=Place.VIEWS,
    ),
)
