"""A fault of the program or its installation is no property of a recording."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.manifests.support import Length, known_files, wav_bytes, wav_probe
from wavemill.manifests.cache import HashCache
from wavemill.manifests.faults import EARLY, ProgramFault
from wavemill.manifests.scan import scan_sources

FAULTS = [
    TypeError("open() got an unexpected keyword argument 'metadata_errors'"),
    AttributeError("module 'av' has no attribute 'open'"),
    ModuleNotFoundError("No module named 'av'"),
    NotImplementedError("not on this platform"),
]


class FailsOn:
    """A probe that meets `error` in the files whose name begins with `prefix`."""

    def __init__(self, error: Exception, prefix: str = "") -> None:
        self.error, self.prefix, self.calls = error, prefix, 0

    def __call__(self, uri: str) -> Length:
        self.calls += 1
        if Path(uri).name.startswith(self.prefix):
            raise self.error
        return wav_probe(uri)


def recordings(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (folder / name).write_bytes(wav_bytes(100 + number))
    return folder


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
def test_what_everything_meets_stops_the_scan(tmp_path: Path, error: Exception) -> None:
    folder = recordings(tmp_path, "a.wav", "b.wav", "c.wav")
    (folder / "empty.wav").touch()  # never comes to the probe, so it says nothing of it
    with pytest.raises(ProgramFault) as stop:
        scan_sources([str(folder)], FailsOn(error), HashCache())
    message = str(stop.value)
    assert "all of 3 recordings" in message
    assert f"{type(error).__name__}: {error}" in message
    assert "test_program_faults.py" in message  # where it was raised
    assert "constraints/" in message
    assert "\n" not in message


def test_what_one_file_meets_is_its_row(tmp_path: Path) -> None:
    folder = recordings(tmp_path, "strange 1.wav", "strange 2.wav", "good.wav")
    found = scan_sources([str(folder)], FailsOn(FAULTS[0], "strange"), HashCache())
    assert [error.reason for error in found.errors] == ["probe_failed"] * 2
    assert [Path(r.uri).name for r in found.recordings] == ["good.wav"]


def test_a_single_file_is_a_row(tmp_path: Path) -> None:
    folder = recordings(tmp_path, "only.wav")
    found = scan_sources([str(folder)], FailsOn(FAULTS[0]), HashCache())
    assert [error.reason for error in found.errors] == ["probe_failed"]


def test_what_may_lie_in_the_files_stops_nothing(tmp_path: Path) -> None:
    folder = recordings(tmp_path, "a.wav", "b.wav")
    found = scan_sources([str(folder)], FailsOn(ValueError("a bad header")), HashCache())
    assert [error.reason for error in found.errors] == ["probe_failed"] * 2


def test_a_long_scan_is_stopped_early_and_nothing_is_remembered(tmp_path: Path) -> None:
    folder = recordings(tmp_path, *(f"{number}.wav" for number in range(EARLY * 4)))
    cache, probe = HashCache(), FailsOn(FAULTS[0])
    with pytest.raises(ProgramFault, match=f"all of {EARLY} "):
        scan_sources([str(folder)], probe, cache)
    assert probe.calls < EARLY * 4
    assert known_files(cache) == 0
    assert len(scan_sources([str(folder)], wav_probe, cache).recordings) == EARLY * 4
