-- What the page knows of a segment. Needs: segments. `scores` are the columns of all scores.

select segment_id, recording_id, segment_index, source, track, start_ms, end_ms,
       speaker, named_speaker, language, text_source, coalesce(text, answer) as text, status, kept,
       first_rule, broken, list_transform(broken, lambda b: b.rule) as rules, audio_version,
       {scores}
from segments
