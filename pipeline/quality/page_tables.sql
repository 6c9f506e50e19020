-- The relations of which the page's figures are made, from the kept rows of shards.
-- Needs: base.seen_rows and base.known_rows, as seen.sql and known.sql give them, with shard_id.

create view segments as select *, null::varchar as answer from base.seen_rows; -- text has it
create view recordings as select recording_id, shard_id, source as uri from base.known_rows;
create view base.durations as
select recording_id, source, stated_ms, duration_ms, labelled, failed_at, failed_stage
from base.known_rows;
create view accounting as
select recording_id, source, stated_ms, duration_ms, error_ms, kept_ms, rejected_ms, non_speech_ms,
       unused_ms, rejected_by_rule, difference_ms, adds_up
from base.known_rows;
create view base.progress as
select recording_id, labelled, stated_ms, duration_ms, failed_at, cut_ms, passed_ms as kept_ms,
       written_ms
from base.known_rows;
create view base.losses as
select recording_id, source, loss.problem as problem, loss.ms as ms
from (select recording_id, source, unnest(problems) as loss from base.known_rows);
