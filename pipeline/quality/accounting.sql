-- Every millisecond of input has one class, the first that applies of: error (of the recording as
-- a whole), kept, rejected (by the first broken rule), error (of a damaged span), non_speech, unused.
-- Milliseconds are those of the recording: segments that overlap, and several tracks, count once.
--
-- unused: outside the regions or labelled items that a manifest names.
-- unjudged: of a segment without a verdict. There should be none, and it counts as not accounted.

-- What decoding gave, block by block. Reads no audio. Once denoise decoded, and wrote both versions.
create or replace view base.decoded_blocks as
select recording_id, d.start_ms, d.end_ms
from base.decode d join recordings r using (recording_id, shard_id)
where d.track = 0 and d.version = 'original' and len(r.items) = 0;

-- Decoding decides how long a recording is; the count of its packets stands for what was not decoded.
create or replace view base.durations as
select r.recording_id, r.uri as source, r.duration_ms as stated_ms,
       case when f.recording_id is null then coalesce(d.end_ms, r.duration_ms)
            else r.duration_ms end as duration_ms,
       len(r.items) > 0 as labelled, f.position as failed_at, f.stage as failed_stage
from recordings r
left join base.failures f using (recording_id)
left join (
    select recording_id, max(end_ms) as end_ms from base.decoded_blocks group by recording_id
) d using (recording_id);

-- Who claims which milliseconds; the lowest priority wins.
create or replace view base.claims as
with blocks as materialized (from base.decoded_blocks),
known as materialized (from base.durations),
claimed as (
    select recording_id, 0 as priority, 'error' as class, null as rule,
           0 as start_ms, stated_ms as end_ms
    from known where failed_at is not null
    union all
    select recording_id,
           case status when 'kept' then 1 when 'rejected' then 2 + coalesce(r.position, 997)
                else 1000 end,
           status, case when status = 'rejected' then first_rule end,
           start_ms,
           -- a manifest may say more than there is; diarization may not
           case when labelled then least(end_ms, stated_ms) else end_ms end
    from segments
    join known using (recording_id)
    left join base.rules r on r.rule = first_rule
    where status <> 'error'
    union all
    select recording_id, 1001, 'error', null, greatest(b.start_ms, e.start_ms),
           least(b.end_ms, e.end_ms)
    from blocks b join errors e using (recording_id)
    where e.reason = 'decode_error'
    union all
    select recording_id, 1002, 'non_speech', null, start_ms, end_ms
    from blocks join recordings using (recording_id)
    where len(regions) = 0
    union all
    select recording_id, 1002, 'non_speech', null, greatest(b.start_ms, region.start_ms),
           least(b.end_ms, region.end_ms)
    from blocks b
    join (select recording_id, unnest(regions) as region from recordings) using (recording_id)
    union all
    select recording_id, 1003, 'unused', null, start_ms, end_ms from blocks
    union all
    select recording_id, 1003, 'unused', null, 0, stated_ms from known where labelled
)
select claimed.* from claimed join known using (recording_id)
where start_ms < end_ms and (failed_at is null or class = 'error');

-- Milliseconds by class: how much longer the union of claims gets with each priority.
create or replace view accounting_classes as
with claimed as (from base.claims),
levels as (
    select recording_id, priority, any_value(class) as class, any_value(rule) as rule
    from claimed group by recording_id, priority
),
added as (
    select l.recording_id, l.priority, l.class, l.rule,
           greatest(0, c.end_ms - greatest(c.start_ms, coalesce(max(c.end_ms) over before, 0))) as ms
    from levels l join claimed c on c.recording_id = l.recording_id and c.priority <= l.priority
    window before as (
        partition by l.recording_id, l.priority order by c.start_ms, c.end_ms
        rows between unbounded preceding and 1 preceding
    )
),
covered as (
    select recording_id, priority, class, rule, sum(ms)::bigint as ms from added group by all
)
select recording_id, priority, class, rule,
       ms - coalesce(lag(ms) over (partition by recording_id order by priority), 0) as ms
from covered;

-- One row per recording. difference_ms is what the classes have too much, or (negative) lack.
create or replace view accounting as
with summed as (
    select recording_id,
           coalesce(sum(ms) filter (class = 'error'), 0)::bigint as error_ms,
           coalesce(sum(ms) filter (class = 'kept'), 0)::bigint as kept_ms,
           coalesce(sum(ms) filter (class = 'rejected'), 0)::bigint as rejected_ms,
           coalesce(sum(ms) filter (class = 'non_speech'), 0)::bigint as non_speech_ms,
           coalesce(sum(ms) filter (class = 'unused'), 0)::bigint as unused_ms,
           map_from_entries(
               list((rule, ms) order by priority) filter (class = 'rejected')
           ) as rejected_by_rule
    from accounting_classes right join base.durations using (recording_id)
    group by recording_id
)
select d.recording_id, d.source, d.stated_ms, d.duration_ms,
       s.error_ms, s.kept_ms, s.rejected_ms, s.non_speech_ms, s.unused_ms, s.rejected_by_rule,
       s.error_ms + s.kept_ms + s.rejected_ms + s.non_speech_ms + s.unused_ms - d.duration_ms
           as difference_ms,
       abs(difference_ms) <= 20 as adds_up
from base.durations d join summed s using (recording_id);

-- The other things that must not be.
create or replace view base.losses as
select recording_id, source, 'decoded too short' as problem, duration_ms - stated_ms as ms
from base.durations, stages
where stage in ('decode', 'denoise') and failed_at is null and not labelled
  and stated_ms - duration_ms > try_cast(parameters ->> '$.missing_ms' as bigint)
union all
select recording_id, any_value(source), 'kept, but in no corpus', -sum(end_ms - start_ms)::bigint
from segments anti join (select segment_id from corpus) using (segment_id)
where kept and (text_source = 'asr' or (task = 'asr' and text is not null))
group by recording_id;

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

-- wavemill report fails when there is a row here.
create or replace view discrepancies as
select recording_id, source, 'does not add up' as problem, difference_ms as ms
from accounting where not adds_up
union all
from base.losses;
