"""Voices out of one's own corpus: short clean recordings of one speaker, to be spoken in.

A file of voices is a Parquet table (SCHEMA). `cast.voices` names it, and the speak engine
`wavemill` says texts in them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import dataset
from pydantic import BaseModel, ConfigDict, Field

from wavemill.stages.segments import UNKNOWN_SPEAKER
from wavemill.stages.speak.voices import SCHEMA


class VoiceRules(BaseModel):
    """Which segments may be voices. A null score passes: labelled segments have no confidence."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    per_speaker: int = Field(1, ge=1)
    shortest_s: float = Field(3.0, gt=0)
    longest_s: float = Field(10.0, gt=0)
    min_dnsmos_overall: float = 3.0
    min_snr_db: float = 20.0
    min_asr_confidence: float = 0.8
    min_speaker_similarity: float = 0.6
    max_overlap_ratio: float = 0.0
    licenses: tuple[str, ...] = ()  # as the manifests state them; none: any, and none stated


@dataclass(frozen=True)
class Voices:
    """What was found, and why the other segments are no voices."""

    table: pa.Table  # SCHEMA, by voice
    segments: int
    left_out: dict[str, int]  # segments by the first rule that they break, in the order of rules


def find_voices(rows: dataset.Dataset, rules: VoiceRules) -> Voices:
    """Choose the clearest segments of each speaker among the rows of the corpus `pretrain`.

    A speaker is who a manifest names, in all recordings, or who diarization found in one.
    """
    with duckdb.connect() as database:
        database.register("segments", rows)
        light: pa.Table = database.sql(_JUDGED, params=_parameters(rules)).to_arrow_table()
    left_out: Counter[str] = Counter(light["broken"].to_pylist())
    chosen = light.filter(pc.field("place") <= rules.per_speaker)
    names = dict(zip(chosen["segment_id"].to_pylist(), chosen["owner"].to_pylist(), strict=True))
    columns = [name for name in SCHEMA.names if name != "voice"]
    wanted = pc.field("segment_id").isin(list(names))
    found = rows.to_table(columns=columns, filter=wanted).to_pylist() if names else []
    table = [{"voice": _name(names[one["segment_id"]], one), **one} for one in found]
    table.sort(key=lambda one: one["voice"])
    return Voices(
        pa.Table.from_pylist(table, schema=SCHEMA),
        light.num_rows,
        {rule: left_out[rule] for rule in _RULES if left_out[rule]},
    )


def _name(owner: str, row: dict[str, Any]) -> str:
    """Return a name that stays while the segment does: who it is, and a hash of the segment."""
    digest = hashlib.sha256(row["segment_id"].encode()).hexdigest()[:6]
    return f"{owner}-{digest}"


def _parameters(rules: VoiceRules) -> dict[str, Any]:
    return {
        "unknown": UNKNOWN_SPEAKER,
        **rules.model_dump(exclude={"per_speaker", "licenses"}),
        "licenses": list(rules.licenses),
    }


# In this order: a segment is counted where it fails first.
_RULES = {
    "no text": "trim(text) = ''",
    "too short": "duration < $shortest_s",
    "too long": "duration > $longest_s",
    "licence": "len($licenses::varchar[]) > 0 and "
    "not coalesce(list_contains($licenses::varchar[], license), false)",
    "overlap": "overlap_ratio > $max_overlap_ratio",
    "speaker not sure": "speaker_similarity < $min_speaker_similarity",
    "noisy": "snr_db < $min_snr_db",
    "low DNSMOS": "dnsmos_overall < $min_dnsmos_overall",
    "text not sure": "asr_confidence < $min_asr_confidence",
    # So that a voice that is tested with was never learnt from.
    "speaker in several splits": "splits > 1",
}
_CASES = " ".join(f"when {test} then '{rule}'" for rule, test in _RULES.items())
_JUDGED = f"""
with owned as (
    select *, case when text_source = 'manifest' and speaker <> $unknown then speaker
                   else recording_id[:12] || '-' || speaker end as owner
    from segments
), spread as (
    select owner, count(distinct coalesce(split, '')) as splits from owned group by owner
), judged as (
    select segment_id, dnsmos_overall, owner, case {_CASES} end as broken
    from owned join spread using (owner)
)
select segment_id, owner, broken,
       case when broken is null then row_number() over (
           partition by owner, broken order by dnsmos_overall desc nulls last, segment_id
       ) end as place
from judged
"""
