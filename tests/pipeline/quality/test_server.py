"""The dashboard's server: what it answers, and what it refuses."""

from __future__ import annotations

import http.client
import json
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

from tests.pipeline.quality.support import Shard, recording, write_workdir
from wavemill.pipeline.lock import locked
from wavemill.pipeline.quality.live import Live
from wavemill.pipeline.quality.server import Server
from wavemill.pipeline.snapshots import latest_snapshot, save_snapshot
from wavemill.pipeline.store import Store
from wavemill.stages.audio.flac import decode_flac, encode_flac

RATE = 16_000
EVIL = "<script>alert('x')</script>"


def shard_with_audio(number: int = 1, name: str = "a") -> Shard:
    """A recording of 10 s: 5 s kept, 2 s rejected, with audio."""
    shard, rec = Shard(name * 16), recording(number, 10_000, uri=f"/audio/{name}/{number}.flac")
    shard.recordings.append(rec)
    shard.decode(rec)
    ramp = np.linspace(-0.5, 0.5, 10 * RATE, dtype=np.float32)
    for row in [*shard.rows["decode"], *shard.rows["denoise"]]:
        half = 1.0 if row["version"] == "original" else 0.5
        row["audio"] = encode_flac(ramp * half, RATE)
    shard.segment(rec, 0, 5000, text="Good morning")
    shard.segment(rec, 6000, 8000, ["low_snr"], text=EVIL)
    return shard


@dataclass
class Client:
    server: Server

    def get(self, path: str, headers: dict[str, str] | None = None, **query: str) -> Any:
        """Return (status, headers, body)."""
        connection = http.client.HTTPConnection(*self.server.server_address[:2], timeout=30)
        target = f"{path}?{urlencode(query)}" if query else path
        connection.request("GET", target, headers=headers or {})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, answer.headers, body

    def json(self, path: str, **query: str) -> Any:
        status, _, body = self.get(f"/api/{path}", **query)
        assert status == 200, body
        return json.loads(body)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return write_workdir(tmp_path / "work", [shard_with_audio()])


@pytest.fixture
def client(store: Store) -> Iterator[Client]:
    with serving(store) as client:
        yield client


@contextmanager
def serving(store: Store) -> Iterator[Client]:
    live = Live(store, "0")
    server = Server(live, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Client(server)
    server.shutdown()
    thread.join()
    server.server_close()
    live.close()


def test_filters_search_order_and_pages(client: Client) -> None:
    assert client.json("segments")["total"] == 2
    assert client.json("segments", search="MORNING")["total"] == 1
    assert client.json("segments", search="%")["total"] == 0
    assert client.json("segments", rule="low_snr", status="rejected")["total"] == 1
    assert client.json("segments", source="/audio/b")["total"] == 0
    assert client.json("segments", page="7") == {**client.json("segments"), "rows": []}
    rows = client.json("segments", sort="duration_s", descending="1")["rows"]
    assert [row["scores"]["duration_s"] for row in rows] == [5.0, 2.0]
    assert rows[1]["text"] == EVIL
    assert rows[1]["broken"] == [{"rule": "low_snr", "value": 0.1, "threshold": 0.5}]


@pytest.mark.parametrize(
    "query",
    [
        {"sort": "duration_s; drop table seen"},
        {"sort": "1"},
        {"page": "-1"},
        {"page": "1 union select 1"},
    ],
)
def test_sql_is_refused(client: Client, query: dict[str, str]) -> None:
    assert client.get("/api/segments", **query)[0] == 400


def test_values_are_only_values(client: Client) -> None:
    for name in ("search", "source", "speaker", "language", "status", "rule"):
        assert client.json("segments", **{name: "' or 1=1 --"})["total"] == 0
    assert client.get("/api/what-if", kind="asr", **{"snr_db) or (1=1": "1"})[0] == 400
    assert client.get("/api/what-if", kind="asr", low_snr="x")[0] == 400
    assert client.json("segments")["total"] == 2


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "/../../etc/passwd", "/report/../snapshots/LATEST", "/%2e%2e/LATEST", "/api/"],
)
def test_no_file_can_be_named(client: Client, path: str) -> None:
    assert client.get(path)[0] == 404
    for name in ("segment", "version"):
        given = {"segment": "x", "version": "original", name: path}
        assert client.get("/api/audio", **given)[0] == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:1", 200),
        ("localhost", 200),
        ("[::1]:8420", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:8420", 421),
        ("", 421),
    ],
)
def test_other_names_are_refused(client: Client, host: str, status: int) -> None:
    assert client.get("/api/state", {"Host": host})[0] == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://127.0.0.1:1", 200), ("http://evil.example", 403), ("null", 403)],
)
def test_other_sites_are_refused(client: Client, origin: str, status: int) -> None:
    headers = {"Host": "127.0.0.1:1", "Origin": origin}
    assert client.get("/api/state", headers)[0] == status


def test_nothing_can_be_sent(client: Client) -> None:
    connection = http.client.HTTPConnection(*client.server.server_address[:2], timeout=30)
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        connection.request(method, "/api/state", body=b"{}")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 405
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    connection.close()


def test_many_ask_at_a_time(client: Client) -> None:
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda _: client.json("segments")["total"], range(60)))
    assert found == [2] * 60


def test_every_answer_is_guarded(client: Client) -> None:
    for path in ("/", "/api/state", "/nowhere"):
        headers = client.get(path)[1]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_audio_is_that_of_the_blocks(client: Client) -> None:
    rows = client.json("segments", sort="start_ms")["rows"]
    key = rows[1]["segment_id"]
    ramp = np.linspace(-0.5, 0.5, 10 * RATE, dtype=np.float32)[6 * RATE : 8 * RATE]
    for version, gain in (("original", 1.0), ("enhanced", 0.5)):
        status, headers, body = client.get("/api/audio", segment=key, version=version)
        assert (status, headers["Accept-Ranges"]) == (200, "bytes")
        audio, rate = decode_flac(body)
        assert rate == RATE
        np.testing.assert_allclose(audio, ramp * gain, atol=1e-4)
    sounds = client.json("sounds", segment=key)
    assert [sound["version"] for sound in sounds] == ["original", "enhanced"]
    assert client.get("/api/audio", segment=key, version="loud")[0] == 404


def test_a_recording_that_is_not_enhanced_has_the_original(tmp_path: Path) -> None:
    shard = shard_with_audio()
    shard.rows["denoise"].clear()
    with serving(write_workdir(tmp_path, [shard])) as client:
        key = client.json("segments")["rows"][0]["segment_id"]
        assert [sound["version"] for sound in client.json("sounds", segment=key)] == ["original"]
        assert client.get("/api/audio", segment=key, version="original")[0] == 200
        status, _, body = client.get("/api/audio", segment=key, version="enhanced")
        assert (status, json.loads(body)) == (
            404,
            {"error": "the recording has no enhanced version: nothing reads it so"},
        )


def test_audio_comes_in_ranges(client: Client) -> None:
    key = client.json("segments")["rows"][0]["segment_id"]
    given = {"segment": key, "version": "original"}
    whole = client.get("/api/audio", **given)[2]
    for header, part in (
        ("bytes=0-3", whole[:4]),
        ("bytes=10-", whole[10:]),
        ("bytes=-5", whole[-5:]),
        (f"bytes=4-{len(whole) + 99}", whole[4:]),
    ):
        status, headers, body = client.get("/api/audio", {"Range": header}, **given)
        assert (status, body) == (206, part), header
        assert headers["Content-Range"].endswith(f"/{len(whole)}")
    for header in ("bytes=5-2", "bytes=0-1,3-4", "lines=1-2", "bytes=-"):
        assert client.get("/api/audio", {"Range": header}, **given)[0] == 200
    assert client.get("/api/audio", {"Range": f"bytes={len(whole)}-"}, **given)[0] == 416


def test_figures_and_timeline(client: Client) -> None:
    figures = client.json("figures")
    assert figures["totals"]["kept_ms"] == 5000
    assert client.json("samples")["groups"][1]["rule"] == "low_snr"
    (row,) = client.json("recordings", search="1.FLAC")["rows"]
    line = client.json("timeline", recording=row["recording_id"])
    assert [s["status"] for s in line["segments"]] == ["kept", "rejected"]
    assert client.json("what-if", kind="asr", low_snr="off") == {
        "segments": 2,
        "hours": pytest.approx(7 / 3600),
    }


def test_a_new_snapshot_is_picked_up(client: Client, store: Store) -> None:
    assert client.json("figures")["snapshot"] == 1
    write_workdir(Path(store.root), [shard_with_audio(), shard_with_audio(2, "b")], number=2)
    assert client.json("state")["snapshot"] == 2
    assert client.json("figures")["snapshot"] == 2
    assert client.json("segments")["total"] == 4


def test_a_running_build_is_seen(client: Client, store: Store) -> None:
    assert client.json("state")["running"] is None
    with locked(store, "wavemill curate"):
        state = client.json("state")
    assert state["running"].startswith("wavemill curate on ")


def test_the_workdir_is_only_read(client: Client, store: Store) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(store.root).rglob("*")}
    client.json("figures")
    client.json("segments")
    assert {path: path.stat().st_mtime_ns for path in Path(store.root).rglob("*")} == before


def test_without_a_snapshot_there_is_a_page(tmp_path: Path) -> None:
    live = Live(Store.open(tmp_path), "0")
    assert live.newest() is None
    assert live.state().snapshot is None
    live.close()


def test_no_file_with_transcripts_is_left_however_it_ends(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    live = Live(store, "0")
    assert live.newest() is not None
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    live.close()


def test_after_a_purge_of_the_newest_snapshot_it_is_read_anew(store: Store) -> None:
    live = Live(store, "0")
    before = live.newest()
    assert live.newest() is before
    snapshot = latest_snapshot(store)
    assert snapshot is not None
    save_snapshot(store, replace(snapshot, purged=["2026-01-01T00:00:00+00:00"]))
    after = live.newest()
    assert after is not before
    assert after is not None
    with after.cursor() as cursor:
        assert cursor.execute("select count(*) from seen").fetchall() == [(2,)]
    live.close()
