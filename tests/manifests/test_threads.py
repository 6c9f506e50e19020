"""Files of which nothing comes are left, and the scan goes on."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.manifests.support import reasons, uris, wav_probe, write_wav
from wavemill.manifests.cache import HashCache
from wavemill.manifests.config import ScanConfig
from wavemill.manifests.scan import scan_sources
from wavemill.manifests.threads import Beat, Stalled, in_threads


def test_results_come_in_order() -> None:
    def square(number: int, _beat: Beat) -> int:
        time.sleep(0.001 * (number % 3))
        return number * number

    assert list(in_threads(square, range(200), 7, 60)) == [(n, n * n) for n in range(200)]
    assert list(in_threads(square, [], 7, 60)) == []


def test_what_hangs_is_given_up_and_threads_are_replaced() -> None:
    release = threading.Event()

    def work(number: int, _beat: Beat) -> int:
        if number % 4 == 0:
            release.wait()
        return number

    found = dict(in_threads(work, range(8), 1, 0.5))
    release.set()
    assert [n for n, result in found.items() if isinstance(result, Stalled)] == [0, 4]
    assert [n for n, result in found.items() if result == n] == [1, 2, 3, 5, 6, 7]


def test_what_goes_on_is_waited_for() -> None:
    def slow(_item: int, beat: Beat) -> str:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            time.sleep(0.01)
            beat()
        return "done"

    assert list(in_threads(slow, [1], 1, 1.0)) == [(1, "done")]


def test_errors_of_the_work_are_raised() -> None:
    def broken(_item: int, _beat: Beat) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(in_threads(broken, range(50), 3, 60))


def test_a_file_that_hangs_is_a_row(tmp_path: Path) -> None:
    paths = [write_wav(tmp_path / f"{n}.wav", 100, n) for n in range(4)]
    release = threading.Event()

    def probe(uri: str) -> object:
        if uri == paths[1]:
            release.wait()
        return wav_probe(uri)

    cache = HashCache()
    config = ScanConfig(stalled_after_s=1.0, threads=2)
    found = scan_sources([str(tmp_path)], probe, cache, config=config)  # type: ignore[arg-type]
    release.set()
    assert uris(found) == [paths[0], *paths[2:]]
    assert reasons(found) == [(paths[1], "timed_out")]
    assert "stalled_after_s" in found.errors[0].message
    again = scan_sources([str(tmp_path)], wav_probe, cache)
    assert uris(again) == paths  # what hung is not remembered


def test_a_thread_that_hangs_does_not_keep_the_program() -> None:
    program = (
        "import threading\n"
        "from wavemill.manifests.threads import in_threads\n"
        "forever = threading.Event()\n"
        "print([str(r) for _, r in in_threads(lambda i, b: forever.wait(), [1], 1, 0.1)])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    assert ended.stdout == "['']\n"
