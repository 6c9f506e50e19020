"""What is decoded is what was hashed, or the recording has changed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.manifests.support import write_tar
from tests.object_store import ObjectStore
from tests.stages.audio.made import chirp, encoded
from tests.support import MemoryUpstream
from wavemill.manifests.identify import content_id
from wavemill.manifests.recording import Item, Recording
from wavemill.stages.audio import blocks as blocks_module
from wavemill.stages.audio import source
from wavemill.stages.audio.decode import open_audio
from wavemill.stages.audio.source import open_source
from wavemill.stages.audio.track import open_tracks
from wavemill.stages.recording_stage import RecordingError

RATE = 8000
OLD, NEW = b"the old bytes" * 10, b"the new bytes" * 10


def reason_of(read: Callable[[], object]) -> str:
    with pytest.raises(RecordingError) as caught:
        read()
    return str(caught.value.reason)


def read(uri: str, recording_id: str) -> bytes:
    with open_source(uri, recording_id) as file:
        return file.read()


@pytest.fixture(params=["small", "large"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The file is held in memory, or is too large for that."""
    monkeypatch.setattr(source, "_last", source._Checked())
    if request.param == "large":
        monkeypatch.setattr(source, "WHOLE_BYTES", 10)
    return str(request.param)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_last", source._Checked())
    monkeypatch.setattr(source, "WHOLE_BYTES", 10)


def write_later(path: Path, content: bytes) -> None:
    """Write in place, size and time of modification as they were, once the clock has moved on."""
    before = path.stat()
    deadline = time.monotonic() + 10
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        assert time.monotonic() < deadline
        with path.open("r+b") as file:
            file.write(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.usefixtures("size")
def test_the_bytes_that_were_hashed_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(OLD)
    identity = content_id(str(path))
    assert read(str(path), identity) == OLD
    assert read(str(path), identity) == OLD


@pytest.mark.parametrize("content", [NEW, OLD[:-1], OLD + b"x", b""])
@pytest.mark.usefixtures("size")
def test_another_file_of_that_name_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(OLD)
    identity, times = content_id(str(path)), path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert reason_of(lambda: read(str(path), identity)) == "source_changed"
    path.write_bytes(OLD)
    assert read(str(path), identity) == OLD


@pytest.mark.usefixtures("size")
def test_a_file_that_is_gone_is_missing(tmp_path: Path) -> None:
    assert reason_of(lambda: read(str(tmp_path / "a"), "0" * 32)) == "file_missing"


@pytest.mark.usefixtures("size")
def test_a_member_of_a_shard_that_was_rewritten_is_refused(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "s.tar", {"first": b"1" * 20, "a": OLD})
    identity = content_id(f"{shard}#a")
    write_tar(tmp_path / "s.tar", {"a": OLD, "first": b"1" * 20})  # elsewhere, but the same
    assert read(f"{shard}#a", identity) == OLD
    write_tar(tmp_path / "s.tar", {"a": NEW})
    assert reason_of(lambda: read(f"{shard}#a", "0" * 32)) == "source_changed"
    source._last = source._Checked()
    assert reason_of(lambda: read(f"{shard}#a", identity)) == "source_changed"


@pytest.mark.usefixtures("large")
def test_a_change_while_it_is_read_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(OLD)
    identity = content_id(str(path))

    def change() -> None:
        with open_source(str(path), identity) as file:
            file.read(5)
            write_later(path, NEW)

    def stumble() -> None:
        with open_source(str(path), identity):
            path.write_bytes(NEW)
            raise RecordingError("truncated", "what a decoder makes of it")

    assert reason_of(change) == "source_changed"
    path.write_bytes(OLD)
    assert reason_of(stumble) == "source_changed"


@pytest.mark.usefixtures("size")
def test_an_error_of_a_file_that_stays_is_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(OLD)

    def stumble() -> None:
        with open_source(str(path), content_id(str(path))):
            raise RecordingError("truncated", "it is")

    assert reason_of(stumble) == "truncated"


@pytest.mark.usefixtures("large")
def test_a_labelled_recording_that_changes_between_two_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose later items are read from a file that was opened before."""
    monkeypatch.setattr(blocks_module, "BLOCK_MS", 1000)
    path = encoded(tmp_path / "a.wav", chirp(30, RATE), RATE)
    items = (Item("a", 0, 500), Item("b", 20_000, 20_500))
    recording = Recording(content_id(str(path)), str(path), 30_000, items=items)
    (track,) = open_tracks(recording, MemoryUpstream("r", {}), "original")
    assert track.read(0, 500).size
    write_later(path, path.read_bytes()[:1000] + bytes(1000))
    assert reason_of(lambda: track.read(20_000, 20_500)) == "source_changed"


@pytest.mark.usefixtures("size")
def test_an_item_of_a_file_that_stays_is_as_before(tmp_path: Path) -> None:
    path = encoded(tmp_path / "a.wav", chirp(3, RATE), RATE)
    recording = Recording(content_id(str(path)), str(path), 3000, items=(Item("a", 0, 500),))
    (track,) = open_tracks(recording, MemoryUpstream("r", {}), "original")
    with open_audio(str(path)) as audio:
        expected = np.concatenate(list(audio.blocks), axis=1)[0, :4000]
    np.testing.assert_array_equal(track.read(0, 500), expected)


@pytest.mark.usefixtures("size")
def test_an_object_that_was_replaced_is_refused(s3: ObjectStore) -> None:
    """Within the second that a bucket's times count in, and with as many bytes."""
    url = s3.put("a", OLD)
    identity = content_id(url)
    assert read(url, identity) == OLD
    s3.put("a", NEW)
    source._last = source._Checked()
    assert reason_of(lambda: read(url, identity)) == "source_changed"
    s3.put("a", OLD)
    assert read(url, identity) == OLD


@pytest.mark.usefixtures("large")
def test_an_object_that_is_replaced_while_it_is_read(s3: ObjectStore) -> None:
    url = s3.put("a", OLD)

    def change() -> None:
        with open_source(url, content_id(url)):
            s3.put("a", NEW)

    assert reason_of(change) == "source_changed"
