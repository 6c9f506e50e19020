"""What is measured on a segment's samples without a model."""

from __future__ import annotations

from wavemill.stages.score import Aspect, AtLeast, AtMost, Place, Score

SCORES = (
    Score(
        column="missing_ratio",
        title="Missing audio",
        description="Share of the segment that is damaged or beyond the end",
        aspect=Aspect.PRESENCE,
        scale="share",
        digits=3,
        better="lower",
        nullable=False,
        # Rounding at the end of a file is no fault.
        rules=(AtMost("missing_audio", asr=0.05, labelled=0.05),),
        place=Place.VIEWS,
    ),
    Score(
        column="gap_ratio",
        title="Gaps",
        description="Share that is silence in gaps of the recording's times",
        aspect=Aspect.PRESENCE,
        scale="share",
        digits=3,
        better="lower",
        nullable=False,
        place=Place.VIEWS,
    ),
    Score(
        column="peak_dbfs",
        title="Peak",
        description="Highest sample, dB of full scale; null: no audio",
        aspect=Aspect.PRESENCE,
        unit="dB",
        digits=1,
        rules=(AtLeast("silent", asr=-80.0, labelled=-80.0),),  # below: digital silence
        place=Place.VIEWS,
    ),
    Score(
        column="clipping_ratio",
        title="Clipping",
        description="Share of samples of the original in flat tops, 0 to 1",
        aspect=Aspect.SIGNAL,
        scale="share",
        digits=3,
        better="lower",
        nullable=False,
        rules=(AtMost("clipping", asr=0.01),),  # clipped on purpose: 0.03; meetings: below 0.0001
        place=Place.CARD,
    ),
    Score(
        column="snr_db",
        title="Signal-to-noise ratio",
        short="SNR",
        description="Estimated signal-to-noise ratio, dB; null: no sound",
        aspect=Aspect.SIGNAL,
        unit="dB",
        digits=1,
        better="higher",
        rules=(AtLeast("low_snr", asr=3.0),),  # the estimate is high there: truly about 0 dB
        place=Place.TABLE,
        corpus_place=4,
    ),
)
