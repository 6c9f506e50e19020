-- `segments` computed once, for the many questions that a page asks of it.
-- Needs: segments. {kind} is `temp table` or `table`.

create or replace {kind} seen as
select segment_id, recording_id, segment_index, source, track, start_ms, end_ms,
       duration_s, speaker, language, text_source, coalesce(text, answer) as text, status, kept,
       first_rule, broken, list_transform(broken, lambda b: b.rule) as rules, audio_version,
       missing_ratio, peak_dbfs, snr_db, clipping_ratio, dnsmos_overall, dnsmos_signal, dnsmos_background,
       speech_ratio, overlap_ratio, speaker_similarity, language_probability,
       text_length::double as text_length, chars_per_second, words_per_second,
       repeated_ngram_ratio, compression_ratio, asr_confidence, avg_logprob, no_speech_prob
from segments;
