-- Figures. Hours are of audio; hours of segments count overlapping segments each.

create or replace view hours_by_language as
select language,
       sum(duration_s) / 3600 as hours,
       coalesce(sum(duration_s) filter (kept), 0) / 3600 as kept_hours,
       coalesce(sum(duration_s) filter (status = 'rejected'), 0) / 3600 as rejected_hours,
       count(*) as segments,
       count(*) filter (kept) as kept_segments,
       count(distinct recording_id) as recordings
from segments group by language order by kept_hours desc, hours desc;

-- A source is the folder of a file, of a tar shard or of a bucket. Hours add up, as in accounting.
create or replace view hours_by_source as
select regexp_replace(regexp_replace(source, '(?i)(\.tar(\.\w+)?)#.*$', '\1'), '/[^/]*$', '')
           as source,
       count(*) as recordings,
       sum(duration_ms) / 3.6e6 as hours,
       sum(kept_ms) / 3.6e6 as kept_hours,
       sum(rejected_ms) / 3.6e6 as rejected_hours,
       sum(non_speech_ms) / 3.6e6 as non_speech_hours,
       sum(unused_ms) / 3.6e6 as unused_hours,
       sum(error_ms) / 3.6e6 as error_hours
from accounting group by all order by hours desc, source;

-- Speakers whom a manifest names are the same in all recordings; others are known within one
-- recording only, which `source` then names.
create or replace view hours_by_speaker as
select speaker,
       case when named_speaker is null then recording_id end as recording_id,
       case when named_speaker is null then source end as source,
       sum(duration_s) / 3600 as hours,
       coalesce(sum(duration_s) filter (kept), 0) / 3600 as kept_hours,
       count(*) as segments,
       count(*) filter (kept) as kept_segments,
       count(distinct segments.recording_id) as recordings
from segments group by all order by kept_hours desc, hours desc;

-- first_*: accounted to this rule, so these add up to everything rejected. only_*: no other rule is
-- broken, so this is what switching the rule off would keep.
create or replace view rejections_by_rule as
select rule,
       count(*) as segments,
       sum(duration_s) / 3600 as hours,
       count(*) filter (position = 1) as first_segments,
       coalesce(sum(duration_s) filter (position = 1), 0) / 3600 as first_hours,
       count(*) filter (rules_broken = 1) as only_segments,
       coalesce(sum(duration_s) filter (rules_broken = 1), 0) / 3600 as only_hours
from rejections
group by rule order by hours desc, rule;

-- Per recording, how many milliseconds lie in segments, in kept ones and in those of the corpus,
-- whether or not the recording failed later on.
create or replace view base.progress as
with cut as (
    select recording_id, d.labelled, s.start_ms, least(s.end_ms, d.duration_ms) as end_ms,
           coalesce(v.kept, false) as kept, c.segment_id is not null as written
    from (from base.diarized_segments union all by name from base.labelled_segments) s
    join base.durations d using (recording_id)
    left join base.verdict v using (recording_id, shard_id, segment_id)
    left join (select segment_id from corpus) c using (segment_id)
),
added as (
    select recording_id, level,
           greatest(0, end_ms - greatest(start_ms, coalesce(max(end_ms) over before, 0))) as ms
    from (
        select *, 'cut' as level from cut
        union all select *, 'kept' from cut where kept
        union all select *, 'written' from cut where written
    )
    window before as (
        partition by recording_id, level order by start_ms, end_ms
        rows between unbounded preceding and 1 preceding
    )
)
select d.recording_id, d.labelled, d.stated_ms, d.duration_ms, d.failed_at,
       coalesce(sum(ms) filter (level = 'cut'), 0)::bigint as cut_ms,
       coalesce(sum(ms) filter (level = 'kept'), 0)::bigint as kept_ms,
       coalesce(sum(ms) filter (level = 'written'), 0)::bigint as written_ms
from base.durations d left join added using (recording_id) group by all;

-- Hours entering and leaving each stage; overlapping segments count once. A recording that failed
-- leaves at that stage. Labelled items skip the stages up to transcribe and enter after it.
create or replace view funnel as
with steps as (
    select s.position, s.stage, coalesce(p.failed_at > s.position, true) as passes,
           case when s.stage = 'denoise' then stated_ms
                when s.stage = 'diarize' then duration_ms
                when s.position <= judged.position then cut_ms
                else kept_ms end as ms_in,
           case when s.stage = 'denoise' then duration_ms
                when s.stage = 'pretrain' then written_ms
                when s.position < judged.position then cut_ms
                else kept_ms end as ms_out
    from base.progress p, stages s,
         (select position from stages where stage = 'verdict') judged
    where coalesce(p.failed_at >= s.position, true) and s.stage <> 'sft'
      and s.stage not in ({spoken_stages})
      and not (p.labelled and s.stage in ('denoise', 'diarize', 'transcribe'))
)
select 0 as position, 'sources' as stage, coalesce(sum(stated_ms), 0) / 3.6e6 as hours_in,
       hours_in as hours_out, count(*) as recordings_in, recordings_in as recordings_out
from base.durations
union all
select position, stage, sum(ms_in) / 3.6e6,
       coalesce(sum(ms_out) filter (passes), 0) / 3.6e6, count(*), count(*) filter (passes)
from steps group by position, stage
order by position;

-- How fast the outputs of this configuration were made; a worker's wall time, not the build's.
create or replace view stage_speed as
select s.position, l.stage,
       count(*) as outputs,
       sum(l.rows)::bigint as rows,
       sum(l.bytes)::bigint as bytes,
       sum(l.audio_ms) / 3.6e6 as audio_hours,
       sum(l.seconds) / 3600 as worker_hours,
       sum(l.cpu_seconds) / 3600 as cpu_hours,
       sum(l.seconds * l.gpus) / 3600 as gpu_hours,
       sum(l.audio_ms) / 1000 / nullif(sum(l.seconds), 0) as times_real_time
from (
    from base.ledger qualify row_number() over (partition by output order by finished_ms desc) = 1
) l
join stages s using (stage, fingerprint)
group by s.position, l.stage order by s.position;
