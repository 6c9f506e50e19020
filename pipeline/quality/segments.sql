-- Every segment of the snapshot, whichever way it came, with all that is known of it.
-- Needs: recordings, errors, stages, base.rules and the stages' tables in the schema `base`.
-- Columns, joins and derived scores in braces come from what the scoring stages declare.

-- The first stage in which a recording failed: nothing of that recording is in the corpus. Where a
-- span is named, the rest of the recording is used.
create or replace view base.failures as
select recording_id, min(position) as position, arg_min(stage, position) as stage
from errors join stages using (stage)
where recording_id is not null and errors.start_ms is null
group by recording_id;

-- Labelled items as segments; ids and order as in stages/segments.py.
create or replace view base.labelled_segments as
with items as (
    select *, coalesce(item.channel + 1, 0)::smallint as track
    from (
        select recording_id, shard_id, uri, speaker as owner, language as spoken,
               unnest(items) as item
        from recordings
        where len(items) > 0
    )
)
select recording_id, shard_id, uri as source,
       concat(
           recording_id, '-', track, '-', item.start_ms, '-', item.end_ms,
           case when row_number() over same_span > 1
                then concat('-', row_number() over same_span - 1) else '' end
       ) as segment_id,
       (row_number() over in_time - 1)::integer as segment_index,
       track, item.start_ms, item.end_ms,
       coalesce(nullif(item.speaker, ''), nullif(owner, ''), 'S00') as speaker,
       coalesce(nullif(item.speaker, ''), nullif(owner, '')) as named_speaker,
       coalesce(nullif(item.language, ''), spoken) as language,
       item.text, item.task, item.question, item.answer
from items
window same_span as (
           partition by recording_id, track, item.start_ms, item.end_ms
           order by item.item_id
       ),
       in_time as (partition by recording_id order by item.start_ms, item.end_ms, item.item_id);

-- A shard's tables may still hold rows of a recording that is in another shard now.
create or replace view base.diarized_segments as
select recording_id, shard_id, r.uri as source, d.segment_id, d.segment_index, d.track,
       d.start_ms, d.end_ms, d.speaker, d.overlap_ratio, d.speaker_similarity
from base.diarize d join recordings r using (recording_id, shard_id)
where len(r.items) = 0;

create or replace view segments as
select *{derived_scores} from (
select c.recording_id, c.segment_id, c.segment_index, c.source, c.track, c.start_ms, c.end_ms,
       (c.end_ms - c.start_ms) / 1000 as duration_s,
       c.speaker, c.named_speaker,
       coalesce(score_text.language, t.language, c.language) as language,
       coalesce(c.text, t.text) as text,
       case when c.labelled then 'manifest' else 'asr' end as text_source,
       t.words, c.task, c.question, c.answer,
       case when f.recording_id is not null then 'error'
            when v.kept then 'kept'
            when not v.kept then 'rejected'
            else 'unjudged' end as status,
       status = 'kept' as kept,
       v.broken[1].rule as first_rule,
       v.broken,
       score_audio.audio_version, score_signal.inverted_channels,
       {score_columns}
from (
    select *, false as labelled from base.diarized_segments
    union all by name
    select *, true as labelled from base.labelled_segments
) c
left join base.transcribe t using (recording_id, shard_id, segment_id)
{score_joins}
left join base.verdict v using (recording_id, shard_id, segment_id)
left join base.failures f using (recording_id)
);
