-- Figures. Hours are of audio; hours of segments count overlapping segments each.

create or replace view hours_by_language as
select language,
       sum(end_ms - start_ms) / 3.6e6 as hours,
       coalesce(sum(end_ms - start_ms) filter (kept), 0) / 3.6e6 as kept_hours,
       coalesce(sum(end_ms - start_ms) filter (status = 'rejected'), 0) / 3.6e6 as rejected_hours,
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
       sum(end_ms - start_ms) / 3.6e6 as hours,
       coalesce(sum(end_ms - start_ms) filter (kept), 0) / 3.6e6 as kept_hours,
       count(*) as segments,
       count(*) filter (kept) as kept_segments,
       count(distinct segments.recording_id) as recordings
from segments group by all order by kept_hours desc, hours desc;

-- first_*: accounted to this rule, so these add up to everything rejected. only_*: no other rule is
-- broken, so this is what switching the rule off would keep.
create or replace view rejections_by_rule as
select rule,
       count(*) as segments,
       sum(end_ms - start_ms) / 3.6e6 as hours,
       count(*) filter (position = 1) as first_segments,
       coalesce(sum(end_ms - start_ms) filter (position = 1), 0) / 3.6e6 as first_hours,
       count(*) filter (rules_broken = 1) as only_segments,
       coalesce(sum(end_ms - start_ms) filter (rules_broken = 1), 0) / 3.6e6 as only_hours
from rejections
group by rule order by hours desc, rule;

-- Hours entering and leaving each stage; overlapping segments count once. A recording that failed
-- leaves at that stage. Labelled items skip the stages up to transcribe and enter after it. The
-- first stage decodes, so that what leaves it is as long as it is.
create or replace view funnel as
with steps as (
    select s.position, s.stage, coalesce(p.failed_at > s.position, true) as passes,
           case when s.position = 1 then stated_ms
                when s.position <= cut.position then duration_ms
                when s.position <= judged.position then cut_ms
                else kept_ms end as ms_in,
           case when s.position < cut.position then duration_ms
                when s.stage = 'pretrain' then written_ms
                when s.position < judged.position then cut_ms
                else kept_ms end as ms_out
    from base.progress p, stages s,
         (select position from stages where stage = 'diarize') cut,
         (select position from stages where stage = 'verdict') judged
    where coalesce(p.failed_at >= s.position, true) and s.stage <> 'sft'
      and s.stage not in ({spoken_stages})
      and not (p.labelled and s.stage in ('decode', 'denoise', 'diarize', 'transcribe'))
)
select 0 as position, 'sources' as stage, coalesce(sum(stated_ms), 0) / 3.6e6 as hours_in,
       hours_in as hours_out, count(*) as recordings_in, recordings_in as recordings_out
from base.durations
union all
select position, stage, sum(ms_in) / 3.6e6,
       coalesce(sum(ms_out) filter (passes), 0) / 3.6e6, count(*), count(*) filter (passes)
from steps group by position, stage
order by position;

-- How fast the outputs of this configuration were made; a worker's wall time, not the build's. In
-- whole milliseconds, since a sum of floats depends on the order in which threads add.
create or replace view stage_speed as
select s.position, l.stage,
       count(*) as outputs,
       sum(l.rows)::bigint as rows,
       sum(l.bytes)::bigint as bytes,
       sum(l.audio_ms) / 3.6e6 as audio_hours,
       sum((l.seconds * 1000)::bigint) / 3.6e6 as worker_hours,
       sum((l.cpu_seconds * 1000)::bigint) / 3.6e6 as cpu_hours,
       sum((l.seconds * l.gpus * 1000)::bigint) / 3.6e6 as gpu_hours,
       sum(l.audio_ms) / nullif(sum((l.seconds * 1000)::bigint), 0) as times_real_time
from (
    from base.ledger qualify row_number() over (partition by output order by finished_ms desc) = 1
) l
join stages s using (stage, fingerprint)
group by s.position, l.stage order by s.position;
