"""Keys of outputs: read back as they were written, and the same in SQL."""

from __future__ import annotations

from contextlib import suppress

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavemill.pipeline.output_key import (
    NotAnOutputKey,
    OutputKey,
    errors_key,
    has_stem_sql,
    output_of,
    output_sql,
    part_sql,
    shard_sql,
    stem_sql,
    table_key,
    table_sql,
    with_kept_sql,
)

NAMES = st.from_regex(r"[A-Za-z0-9_]{1,20}", fullmatch=True)
HASHES = st.from_regex(r"[0-9a-f]{12,16}", fullmatch=True)
KEYS = st.builds(OutputKey, NAMES, HASHES, HASHES, st.lists(HASHES, max_size=2).map(tuple))


def by_sql(expression: str, **values: object) -> object:
    return duckdb.execute(f"select {expression}", values).fetchall()[0][0]


@given(KEYS)
def test_a_key_is_read_back(key: OutputKey) -> None:
    assert OutputKey.parse(str(key)) == key
    for file in (table_key(str(key)), errors_key(str(key))):
        assert OutputKey.of_file(file) == key
        assert output_of(file) == str(key)


@given(st.one_of(st.text(), st.lists(NAMES, max_size=5).map("/".join)))
def test_whatever_is_read_is_written_the_same(text: str) -> None:
    with suppress(NotAnOutputKey):
        assert str(OutputKey.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "stages",
        "stages/draw",
        "stages/draw/0f3a",
        "stages/draw/0f3a/",
        "stages//0f3a/7c21",
        "stages/draw/0f3a/7c21/x",
        "stages/draw/0f3a/7c21-",
        "stages/draw/0f3a/7c21.parquet",
        "stages/draw/0f3a/.7c21",
        "stages/draw/0f3a/7c21\n",
        "snapshots/draw/0f3a/7c21",
        " stages/draw/0f3a/7c21",
    ],
)
def test_what_is_not_a_key_is_refused(text: str) -> None:
    with pytest.raises(NotAnOutputKey, match="not the key of an output"):
        OutputKey.parse(text)


@pytest.mark.parametrize("part", ["", "a/b", "a-b", "a.b"])
def test_a_key_cannot_be_made_of_parts_that_would_not_be_read_back(part: str) -> None:
    with pytest.raises(NotAnOutputKey):
        OutputKey("draw", "0f3a", part)
    with pytest.raises(NotAnOutputKey):
        OutputKey("draw", "0f3a", "7c21", (part,))


@given(NAMES, HASHES, HASHES, HASHES, HASHES)
def test_sql_makes_the_same_keys(
    stage: str, fingerprint: str, shard: str, labels: str, kept: str
) -> None:
    for label_digest in (None, labels):
        key = OutputKey(stage, fingerprint, shard, () if label_digest is None else (labels,))
        label = None if label_digest is None else "$labels"
        values = {"shard": shard} if label is None else {"shard": shard, "labels": labels}
        assert by_sql(stem_sql(stage, fingerprint, "$shard", label), **values) == str(key)
        found = by_sql(with_kept_sql("$stem", "$kept"), stem=str(key), kept=kept)
        assert found == str(key.with_kept(kept))


@given(KEYS, KEYS, HASHES)
def test_sql_reads_the_same_from_keys(key: OutputKey, other: OutputKey, kept: str) -> None:
    table = table_key(str(key))
    assert by_sql(table_sql("$key"), key=str(key)) == table
    assert by_sql(output_sql("$key"), key=table) == output_of(table) == str(key)
    assert by_sql(part_sql("$key"), key=table) == key.part
    for file in (table, errors_key(str(key)), f"/a.b/c-d/{table}"):
        assert by_sql(shard_sql("$key"), key=file) == key.shard_id
    for output in (str(key), str(key.with_kept(kept)), table):
        assert by_sql(has_stem_sql("$key", "$stem"), key=output, stem=str(key)) is True
    found = by_sql(has_stem_sql("$key", "$stem"), key=str(other), stem=str(key))
    assert found == str(other).startswith(str(key))
