-- What the page knows of a recording. Needs: recordings and what accounting.sql makes.
-- problems: of base.losses.

select d.recording_id, d.source, d.stated_ms, d.duration_ms, d.labelled, d.failed_at, d.failed_stage,
       a.error_ms, a.kept_ms, a.rejected_ms, a.non_speech_ms, a.unused_ms,
       a.rejected_by_rule::map(varchar, bigint) as rejected_by_rule, a.difference_ms, a.adds_up,
       p.cut_ms, p.kept_ms as passed_ms, p.written_ms,
       coalesce(l.problems, []) as problems
from base.durations d
join accounting a using (recording_id)
join base.progress p using (recording_id)
left join (
    select recording_id, list(struct_pack(problem, ms := ms::bigint) order by problem) as problems
    from base.losses group by recording_id
) l using (recording_id)
