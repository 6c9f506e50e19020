"""wavemill show: the timeline of one recording."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.pipeline.quality.support import Shard, error_of, recording, write_workdir
from wavemill.jobs.cli import app
from wavemill.jobs.show import bar, clock
from wavemill.manifests.recording import Item
from wavemill.pipeline.quality.timeline import NoSuchRecording, TimelineSegment
from wavemill.pipeline.task import error_row


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    shard = Shard()
    talk = recording(0xA1, 8000, uri="/calls/talk.flac")
    other = recording(0xA2, 8000, uri="/more/talk.flac")
    failed = recording(0xB1, 8000, uri="/calls/short talk.flac")
    items = (Item("0", 0, 500, task="aqa", question="who?", answer="a president"),)
    labelled = recording(0xB2, 8000, uri="/calls/items.flac", items=items)
    shard.recordings = [talk, other, failed, labelled]
    shard.decode(talk)
    shard.segment(talk, 4000, 6000, text="[red]no\x1b[0m markup[/red] </b>", speaker="S01")
    shard.segment(talk, 0, 4000, ["low_snr"], text="first")
    shard.score(labelled, f"{labelled.recording_id}-0-0-500")
    unread = error_row("manifest", None, "/calls/x.txt", "not_audio", "no")
    write_workdir(tmp_path, [shard], [error_of(failed, "decode", "[bold]ended"), unread])
    return tmp_path


def show(workdir: Path, name: str) -> str:
    result = CliRunner().invoke(app, ["show", str(workdir), name], env={"COLUMNS": "120"})
    if result.exception:
        raise result.exception
    return result.output


def test_segments_stand_in_order_with_verdict_and_text(workdir: Path) -> None:
    lines = show(workdir, "/calls/talk.flac").splitlines()
    assert lines[0] == "/calls/talk.flac"
    assert "0:08.0 min: 2 segments, 1 kept (0:02.0 min)" in lines[1]
    assert lines[2].split() == ["S00", "░" * 36 + "·" * 36]
    assert lines[3].split() == ["S01", "·" * 36 + "█" * 18 + "·" * 18]
    first, second = lines[-2:]
    expected = "00:00.000 00:04.000 S00 low_snr (0.1, threshold 0.5) first"
    assert " ".join(first.split()) == expected
    assert second.split()[:4] == ["00:04.000", "00:06.000", "S01", "kept"]
    assert second.rstrip().endswith("[red]no\ufffd[0m markup[/red] </b>")


@pytest.mark.parametrize(
    "name", [f"{0xA1:032x}", "/calls/talk.flac", "calls/talk.flac", "s/talk.flac"]
)
def test_a_recording_has_many_names(workdir: Path, name: str) -> None:
    assert show(workdir, name).startswith("/calls/talk.flac\n")


def test_a_failed_recording_says_why(workdir: Path) -> None:
    assert "failed in decode: went_wrong: [bold]ended" in show(workdir, "short talk.flac")


def test_an_item_shows_its_answer(workdir: Path) -> None:
    assert "a president" in show(workdir, "items.flac")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("talk.flac", r"2 recordings are called 'talk.flac':\n  /calls/talk.flac \(0+a1\)"),
        ("nothing", "no recording 'nothing'"),
        ("", "no recording ''"),
        ("x.txt", "/calls/x.txt could not be read: not_audio: no"),
    ],
)
def test_a_name_that_means_no_one_recording(workdir: Path, name: str, message: str) -> None:
    with pytest.raises(NoSuchRecording, match=message):
        show(workdir, name)


def test_bar_shows_short_segments_and_those_beyond_the_end() -> None:
    def segment(start_ms: int, end_ms: int, status: str) -> TimelineSegment:
        return TimelineSegment("", 0, start_ms, end_ms, "", None, None, status, None, None, None)

    segments = [segment(500, 501, "kept"), segment(900, 1100, "rejected")]
    assert bar(segments, 1000, 10).plain == "·····█···░"
    assert bar([segment(0, 10, "kept"), segment(0, 20, "error")], 20, 4).plain == "██░░"
    assert bar([], 0, 3).plain == "···"


def test_clock() -> None:
    assert clock(59_999) == "00:59.999"
    assert clock(3_600_000 + 61_001) == "1:01:01.001"
