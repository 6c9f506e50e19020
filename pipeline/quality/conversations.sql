-- Written conversations that were spoken. Needs: base.listed, errors and the stages' tables.

create or replace view conversations as
select l.recording_id, l.uri as source, l.language, l.license, l.split, s.shard_id,
       list_filter(l.items, lambda i: i.task <> 'system_message')[1].text as prompt,
       s.messages, s.longest_message,
       case when e.recording_id is not null then 'error'
            when not s.kept then 'rejected'
            when v.kept then 'kept'
            when v.kept is not null then 'partly kept'
            else 'unjudged' end as status,
       e.stage as failed_stage, list_transform(s.broken, lambda b: b.rule) as screened_by
from base.listed l
left join base.screen s using (recording_id)
left join (
    select c.recording_id, bool_and(v.kept) as kept
    from base.cast c join base.verdict_spoken v using (recording_id, shard_id, segment_id)
    group by c.recording_id
) v using (recording_id)
left join (
    select recording_id, min(stage) as stage from errors
    where start_ms is null group by recording_id
) e using (recording_id)
where {written};

-- Every message as it was said and heard.
create or replace view clips as
select c.recording_id, c.segment_id, c.segment_index, c.role, c.kind, c.text, h.heard,
       c.voice as cast_voice, h.voice, c.pace, c.pitch, h.seed, len(h.attempts) as attempts,
       h.duration_s, h.word_error, h.dnsmos_overall, h.similarity, h.words_per_second,
       h.longest_pause_s, h.edge_silence_s, h.clipped, h.asr_confidence,
       a.rt60_s, a.direct_db, a.noise, a.snr_db, a.telephone,
       v.kept, list_transform(v.broken, lambda b: b.rule) as rules
from base.cast c
join base.listen h using (recording_id, shard_id, segment_id)
join base.verdict_spoken v using (recording_id, shard_id, segment_id)
left join base.augment a using (recording_id, shard_id, segment_id);

-- Yield: of what was spoken, how much was kept, by voice and kind of text.
create or replace view spoken_yield as
select voice, kind, count(*) as clips, count(*) filter (kept) as kept_clips,
       avg(attempts) as attempts, avg(word_error) as word_error,
       avg(word_error) filter (kept) as kept_word_error,
       avg(dnsmos_overall) as dnsmos_overall, sum(duration_s) / 3600 as hours,
       coalesce(sum(duration_s) filter (kept), 0) / 3600 as kept_hours
from clips group by all order by clips desc, voice, kind;
