"""Train, validation and test: a recording, and all that a speaker says, in one of them.

Recordings that share a speaker, directly or through others, are a component, and a component
gets one split. It is drawn by a seeded hash of the component's first speaker in alphabetical
order (of the recording's id where no speaker is named), and so depends on nothing but names: a
recording that is added moves no other one, unless it joins speakers that were apart. Speakers
are told apart by name only: two manifests that both have a speaker `1` share a component, which
costs evenness and never leaks.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, model_validator

from wavemill.manifests.table import ITEM, SCHEMA
from wavemill.pipeline.memory_database import memory_database


class SplitSettings(BaseModel):
    """Shares of the components; what remains is train. Both 0: nothing is assigned."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    validation: float = Field(0.0, ge=0, le=1)
    test: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        if self.validation + self.test > 1:
            raise ValueError("validation and test together are more than 1")
        return self


def assign_splits(recordings: pa.Table, settings: SplitSettings) -> tuple[pa.Table, list[str]]:
    """Return `recordings` (manifests.table.SCHEMA) with splits filled in, and notes for a person.

    A split that a manifest states stays. What states none follows its own recording, else its
    component, where those state one and the same; in a component with several it is train, and
    a note says how many there are; in one with none it is drawn.
    """
    if settings.validation == settings.test == 0:
        return recordings, []
    recordings = recordings.combine_chunks()
    speakers, splits = _named(recordings, "speaker"), _named(recordings, "split")
    with memory_database() as database:
        database.register("components", _components(recordings["recording_id"], speakers))
        database.register("speakers", speakers)
        database.register("splits", splits)
        shares = settings.model_dump()
        chosen = database.sql(_CHOSEN, params=shares).to_arrow_table()["split"].combine_chunks()
        (conflicts,) = database.execute(_CONFLICTS).fetchone() or (0,)
    note = (
        f"speakers and recordings that manifests put into more than one split: {conflicts}"
        " connected groups; what states no split there is in train"
    )
    return _filled(recordings, chosen), [note] if conflicts else []


# `place` is the row of a recording in the table.
_CONFLICTS = """
    select count(*) from (
        select component from splits join components using (place)
        group by component having min(split) <> max(split)
    )
"""
# 13 hex digits are 52 bits: exact in a double. Test from below and validation from above, so that
# changing one share moves nothing between the two.
_CHOSEN = """
    with of_recording as (
        select place, min(split) as split from splits
        group by place having min(split) = max(split)
    ), of_component as (
        select component, if(min(split) = max(split), min(split), 'train') as split
        from splits join components using (place) group by component
    ), keys as (
        select component, coalesce(min(speaker), min(recording_id)) as key
        from components left join speakers using (place) group by component
    ), drawn as (
        select component, case when position < $test then 'test'
            when position >= 1 - $validation then 'validation' else 'train' end as split
        from (
            select component,
                ('0x' || substr(sha256($seed || ':' || key), 1, 13))::bigint / 2.0 ** 52 as position
            from keys
        )
    )
    select coalesce(of_recording.split, of_component.split, drawn.split) as split
    from components
    join drawn using (component)
    left join of_component using (component)
    left join of_recording using (place)
    order by place
"""


def _named(recordings: pa.Table, name: str) -> pa.Table:
    """Return place and `name` (speaker or split) wherever a recording or an item states one."""
    items = recordings["items"].combine_chunks()
    places = pa.chunked_array(
        [np.arange(len(recordings)), pc.list_parent_indices(items).cast(pa.int64())]
    )
    of_items = pc.struct_field(pc.list_flatten(items), name)
    values = pa.chunked_array([*recordings[name].chunks, of_items], pa.string())
    return pa.table({"place": places, name: values}).drop_null()


def _components(recording_ids: pa.ChunkedArray, speakers: pa.Table) -> pa.Table:
    """Return place, recording_id and component (a number) of every recording, in order."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(recording_ids)
    names = speakers["speaker"].combine_chunks().dictionary_encode()
    nodes = count + len(names.dictionary)  # recordings, then speakers
    ends = (speakers["place"].to_numpy(), count + names.indices.to_numpy().astype(np.int64))
    graph = coo_array((np.ones(len(speakers), dtype=np.int8), ends), shape=(nodes, nodes))
    component = connected_components(graph, directed=False)[1][:count]
    return pa.table(
        {"place": np.arange(count), "recording_id": recording_ids, "component": component}
    )


def _filled(recordings: pa.Table, chosen: pa.Array) -> pa.Table:
    """Return `recordings` with `chosen` where neither a recording nor an item states a split."""
    splits = pc.coalesce(recordings["split"].combine_chunks(), chosen)
    column = recordings["items"].combine_chunks()
    items = pc.list_flatten(column)
    inherited = splits.take(pc.list_parent_indices(column))
    values = {f.name: pc.struct_field(items, f.name) for f in ITEM}
    values["split"] = pc.coalesce(values["split"], inherited)
    offsets = np.concatenate([[0], np.cumsum(pc.list_value_length(column))]).astype(np.int32)
    filled = pa.ListArray.from_arrays(
        offsets,
        pa.StructArray.from_arrays(list(values.values()), fields=list(ITEM)),
        type=SCHEMA.field("items").type,
    )
    for name, column in (("split", splits), ("items", filled)):
        index = SCHEMA.get_field_index(name)
        recordings = recordings.set_column(index, SCHEMA.field(name), column)
    return recordings
