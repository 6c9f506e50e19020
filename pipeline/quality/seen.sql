-- `segments` computed once, for the many questions that a page asks of it.
-- Needs: segments. `kind` is `temp table` or `table`, `scores` the columns of all scores.

create or replace {kind} seen as
select segment_id, recording_id, segment_index, source, track, start_ms, end_ms,
       speaker, language, text_source, coalesce(text, answer) as text, status, kept,
       first_rule, broken, list_transform(broken, lambda b: b.rule) as rules, audio_version,
       {scores}
from segments;
