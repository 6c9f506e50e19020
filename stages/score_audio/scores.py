"""How people would rate a segment, as a model predicts it."""

from __future__ import annotations

from wavemill.stages.score import Aspect, AtLeast, Place, Score

# Overall: music alone 1.1, background noise 1.2 to 1.4, meetings 1.2 to 3.0, read speech 3.3.
SCORES = (
    Score(
        column="dnsmos_overall",
        title="DNSMOS overall",
        short="DNSMOS",
        description="DNSMOS P.835 overall, 1 to 5; null: too short",
        aspect=Aspect.QUALITY,
        scale="1 to 5",
        better="higher",
        rules=(AtLeast("low_dnsmos_overall", asr=1.5),),
        place=Place.TABLE,
        corpus_place=1,
    ),
    Score(
        column="dnsmos_signal",
        title="DNSMOS speech",
        description="DNSMOS P.835 speech, 1 to 5; null: too short",
        aspect=Aspect.QUALITY,
        scale="1 to 5",
        better="higher",
        rules=(AtLeast("low_dnsmos_signal", asr=1.5),),
        place=Place.VIEWS,
        corpus_place=2,
    ),
    Score(
        column="dnsmos_background",
        title="DNSMOS background",
        description="DNSMOS P.835 background, 1 to 5; null alike",
        aspect=Aspect.QUALITY,
        scale="1 to 5",
        better="higher",
        rules=(AtLeast("low_dnsmos_background", asr=1.5),),
        place=Place.VIEWS,
        corpus_place=3,
    ),
)
