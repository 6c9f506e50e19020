"""Which recordings there are, and which shard each is in, from scan to scan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.pipeline.toys import recording
from tests.support import without_channels
from wavemill.manifests.recording import Item, Recording
from wavemill.manifests.table import recordings_table
from wavemill.pipeline.catalogue import CATALOGUE, Catalogue, Changes
from wavemill.pipeline.shard import group_by_duration, new_shard_id
from wavemill.pipeline.store import Store
from wavemill.pipeline.upkeep.withdrawal import active_recordings

TEN = sorted((recording(f"r{i}") for i in range(10)), key=lambda r: r.recording_id)


def scan(root: Path, recordings: list[Recording], shard_seconds: float = 120) -> Catalogue:
    """Compare with the catalogue below `root` and remember the result."""
    ordered = sorted(recordings, key=lambda r: r.recording_id)
    catalogue = Catalogue(Store.open(root), recordings_table(ordered), shard_seconds)
    catalogue.save()
    return catalogue


def shards(catalogue: Catalogue) -> dict[str, str]:
    """Return the shard of every active recording."""
    query = "select recording_id, shard_id from members where active"
    return dict(catalogue.database.execute(query).fetchall())


def label_digests(catalogue: Catalogue) -> dict[str, str]:
    return dict(catalogue.database.execute("select shard_id, label_digest from shards").fetchall())


def test_the_first_scan(tmp_path: Path) -> None:
    catalogue = scan(tmp_path, TEN)
    assert catalogue.changes == Changes(new=10)
    assert len(set(shards(catalogue).values())) == 5  # two minutes of one-minute recordings
    assert scan(tmp_path, TEN).changes == Changes()


def test_shards_do_not_move(tmp_path: Path) -> None:
    before = shards(scan(tmp_path, TEN[:5]))
    after = scan(tmp_path, TEN)
    assert after.changes == Changes(new=5)
    assert {key: shards(after)[key] for key in before} == before
    assert not set(before.values()) & {shards(after)[r.recording_id] for r in TEN[5:]}


def test_a_renamed_file_stays_in_its_shard_and_changes_its_labels(tmp_path: Path) -> None:
    before = scan(tmp_path, TEN)
    renamed = [replace(TEN[0], uri="elsewhere.wav"), *TEN[1:]]
    after = scan(tmp_path, renamed)
    assert after.changes == Changes(relabelled=1)
    assert shards(after) == shards(before)
    changed = {k for k, v in label_digests(after).items() if label_digests(before)[k] != v}
    assert changed == {shards(before)[TEN[0].recording_id]}


def test_other_item_spans_make_it_a_new_member(tmp_path: Path) -> None:
    before = scan(tmp_path, TEN)
    spans = replace(TEN[0], items=(Item("i", 0, 500, text="one"),))
    after = scan(tmp_path, [spans, *TEN[1:]])
    assert after.changes == Changes(new=1)
    assert shards(after)[spans.recording_id] not in set(shards(before).values())


def test_a_catalogue_that_knows_no_channels_of_items_stays_valid(tmp_path: Path) -> None:
    items = (Item("i", 0, 500, text="one"), Item("j", 0, 500, text="two"))
    recordings = [replace(TEN[0], items=items), TEN[1]]
    before = scan(tmp_path, recordings)
    store = Store.open(tmp_path)
    store.write_table(CATALOGUE, without_channels(store.read_table(CATALOGUE)))
    after = scan(tmp_path, recordings)
    assert after.changes == Changes()
    assert (shards(after), label_digests(after)) == (shards(before), label_digests(before))
    assert active_recordings(store)["items"].to_pylist()[0][0]["channel"] is None
    on_one = replace(TEN[0], items=(replace(items[0], channel=1), items[1]))
    assert scan(tmp_path, [on_one, TEN[1]]).changes == Changes(new=1)


def test_one_that_comes_back_joins_a_new_shard(tmp_path: Path) -> None:
    first = scan(tmp_path, TEN[:2])
    assert scan(tmp_path, []).changes == Changes(gone=2)
    again = scan(tmp_path, TEN[:2])
    assert again.changes == Changes(new=2)
    assert not set(shards(first).values()) & set(shards(again).values())


def test_renewed_recordings_join_new_shards(tmp_path: Path) -> None:
    before = shards(scan(tmp_path, TEN))
    catalogue = Catalogue(Store.open(tmp_path), recordings_table(TEN), 120)
    catalogue.renew([TEN[3].recording_id])
    after = shards(catalogue)
    moved = {key for key in before if before[key] != after[key]}
    assert moved == {TEN[3].recording_id}
    catalogue.save()
    assert shards(scan(tmp_path, TEN)) == after


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(histories=st.lists(st.sets(st.integers(0, 9)), min_size=1, max_size=5))
def test_every_recording_of_today_is_in_exactly_one_shard(
    tmp_path_factory: pytest.TempPathFactory, histories: list[set[int]]
) -> None:
    root = tmp_path_factory.mktemp("history")
    for present in histories:
        today = [TEN[i] for i in sorted(present)]
        catalogue = scan(root, today)
        rows = catalogue.database.execute("select recording_id from members where active")
        assert sorted(row[0] for row in rows.fetchall()) == [r.recording_id for r in today]


@given(st.lists(st.integers(1, 10**7)), st.floats(1, 10_000))
def test_groups_keep_the_order_and_lose_nothing(durations: list[int], seconds: float) -> None:
    groups = group_by_duration(durations, seconds)
    assert [i for group in groups for i in group] == list(range(len(durations)))
    assert all(group for group in groups)
    for group in groups:  # without its last recording, a group is never longer than a shard
        assert sum(durations[i] for i in group[:-1]) < seconds * 1000


def test_a_shard_s_name_is_never_given_twice() -> None:
    taken: set[str] = set()
    for _ in range(3):
        taken.add(new_shard_id(["a", "b"], taken))
    assert len(taken) == 3
