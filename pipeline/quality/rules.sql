-- Which rules segments broke, and what they were held against. Needs: segments, stages, base.rules.

-- One row per broken rule; position 1 is the rule that the segment is accounted to.
create or replace view rejections as
select recording_id, segment_id, source, start_ms, end_ms, duration_s, language, text, position,
       len(broken) as rules_broken, b.rule, b.value, b.value_text, b.threshold, b.threshold_text
from (
    select *, unnest(broken) as b, generate_subscripts(broken, 1) as position
    from segments where status = 'rejected'
);

-- What segments are held against. `column` is the column of `segments`, `side` min, max or one_of;
-- value is null where the rule is off, and where it is one of texts.
create or replace view thresholds as
select r.rule, r.position, r."column", r.side, k.text_source,
       try_cast(k.settings ->> r.setting as double) as value,
       case when r.side = 'one_of'
            then from_json(k.settings -> r.setting, '["VARCHAR"]') end as allowed
from base.rules r, (
    select 'asr' as text_source, json_extract(parameters, '$.raw') as settings
    from stages where stage = 'verdict'
    union all
    select 'manifest', json_extract(parameters, '$.labelled')
    from stages where stage = 'verdict'
) k;
