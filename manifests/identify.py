"""Hashing and probing files: finding the recordings among them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol, runtime_checkable

from wavemill.manifests.cache import HashCache, Known
from wavemill.manifests.config import ScanConfig
from wavemill.manifests.faults import FaultWatch, fault_of
from wavemill.manifests.filesystems import Stamp
from wavemill.manifests.reasons import EntryError, Reason, os_error
from wavemill.manifests.recording import SourceError
from wavemill.manifests.threads import Beat, Stalled, in_threads
from wavemill.manifests.uri import CHANGED, open_uri, split_uri, stamp_of_uri

ID_DIGITS = 32
_READ_BYTES = 1 << 20
_REFUSED = frozenset({Reason.PERMISSION_DENIED, Reason.FILE_MISSING, Reason.UNREADABLE})
# These may be temporary, so the cache does not store them.
_PASSING = _REFUSED | {Reason.PROBE_FAILED, Reason.SOURCE_CHANGED, Reason.TIMED_OUT}
_UNOPENED = _REFUSED | {Reason.EMPTY_FILE, Reason.TIMED_OUT}  # the probe was not called
_UNSAVED = 10_000  # files, after which the cache is saved however little time has passed
_REPORT_EVERY = 1000  # unchanged files between two calls of the progress callback

Progress = Callable[[int, int | None], None]


class Probed(Protocol):
    """What is known of an audio file without decoding all of it."""

    @property
    def duration_ms(self) -> int:
        """Length in ms, above 0; counted by decoding if the container does not state it."""
        ...

    @property
    def channels(self) -> int:
        """Number of channels, above 0."""
        ...


class Probe(Protocol):
    """Opens one recording and returns its length and number of channels.

    It gets a `uri` as it stands in `Recording.uri` (`manifests.uri.open_uri` opens it) and is
    called from several threads at a time. For a file without usable audio it raises an exception
    with the attributes of `ProbeFailure`.
    """

    def __call__(self, uri: str) -> Probed: ...


@runtime_checkable
class ProbeFailure(Protocol):
    """The attributes of an exception that a probe raises; they count, not its class."""

    reason: str  # stable snake_case name: not_audio, no_audio_track, ...
    message: str  # one sentence for a person


class Contents:
    """The recordings among the files, by uri, and the errors of all other files."""

    def __init__(self) -> None:
        self.recordings: dict[str, Known] = {}
        self.errors: list[SourceError] = []
        self._changed: set[str] = set()

    def add(self, uri: str, known: Known) -> None:
        """Add one file."""
        if known.reason is None:
            self.recordings[uri] = known
            return
        if known.reason == Reason.SOURCE_CHANGED:
            uri, _ = split_uri(uri)  # one error for a tar file, not one per member
            if uri in self._changed:
                return
            self._changed.add(uri)
        self.errors.append(SourceError(uri, known.reason, known.message or ""))


def content_id(uri: str, beat: Beat = lambda: None) -> str:
    """Return the recording id of a file: the first 32 hex digits of the SHA-256 of its bytes.

    `beat` is called after each part of it. Raises EntryError (`empty_file`) and OSError.
    """
    digest = hashlib.sha256()
    buffer = bytearray(_READ_BYTES)
    view = memoryview(buffer)
    total = 0
    with open_uri(uri) as file:
        while count := file.readinto(buffer):  # type: ignore[attr-defined]
            digest.update(view[:count])
            total += count
            beat()
    if total == 0:
        raise EntryError(Reason.EMPTY_FILE, "the file has no bytes")
    return digest.hexdigest()[:ID_DIGITS]


def identify(
    candidates: Mapping[str, Stamp],
    probe: Probe,
    cache: HashCache,
    progress: Progress,
    config: ScanConfig,
) -> Contents:
    """Return what the files contain; only files that have changed are read.

    Raises ProgramFault if the probe fails for all of them by the same fault of the program.
    """
    contents = Contents()
    watch = FaultWatch("opening")
    changed: list[tuple[str, Stamp]] = []
    total = len(candidates)
    for done, (uri, stamp) in enumerate(candidates.items()):
        known = cache.get(uri, stamp)
        if known is None:
            changed.append((uri, stamp))
        else:
            contents.add(uri, known)
        if done % _REPORT_EVERY == 0:
            progress(done - len(changed), total)
    changed.sort()  # members of one tar file together: its index is made once
    done = total - len(changed)
    saved = time.monotonic()

    def look(file: tuple[str, Stamp], beat: Beat) -> tuple[Known, str | None]:
        return _look_at(*file, probe, beat)

    for (uri, stamp), found in in_threads(look, changed, config.threads, config.stalled_after_s):
        if isinstance(found, Stalled):
            found = _stalled(stamp, config.stalled_after_s), None
        known, fault = found
        contents.add(uri, known)
        if known.reason not in _UNOPENED:
            watch.add(fault)
        if known.reason not in _PASSING:
            cache.put(uri, known)
        done += 1
        progress(done, total)
        full = cache.unsaved >= _UNSAVED
        if full or time.monotonic() - saved > config.cache_interval_s:
            with suppress(OSError):  # for example a full disk: the last save reports it
                cache.save_new()
            saved = time.monotonic()
    watch.end()
    progress(total, total)
    return contents


def _look_at(uri: str, stamp: Stamp, probe: Probe, beat: Beat) -> tuple[Known, str | None]:
    """Return what is known of a file (`source_changed` if it changed), and a program fault."""
    known, fault = _opened(uri, stamp, probe, beat)
    try:
        size, changed = stamp_of_uri(uri)
    except OSError as error:
        return known if known.reason in _REFUSED else _no_recording(stamp, error), None
    if size != stamp[0] or (changed != stamp[1] and changed > 0):
        return Known(*stamp, "", 0, Reason.SOURCE_CHANGED, CHANGED), None
    return known, fault


def _opened(uri: str, stamp: Stamp, probe: Probe, beat: Beat) -> tuple[Known, str | None]:
    try:
        recording_id = content_id(uri, beat)
        beat()
        probed = probe(uri)
        duration_ms = int(probed.duration_ms)
        if duration_ms <= 0:
            raise EntryError(Reason.NO_SAMPLES, "it holds no audio samples")
    except Exception as error:  # an unknown error of one file must not affect the others
        return _no_recording(stamp, error), fault_of(error)
    return Known(*stamp, recording_id, duration_ms, channels=probed.channels), None


def _stalled(stamp: Stamp, seconds: float) -> Known:
    message = f"nothing came of reading it within {seconds:g} s (sources.stalled_after_s)"
    return Known(*stamp, "", 0, Reason.TIMED_OUT, message)


def _no_recording(stamp: Stamp, error: Exception) -> Known:
    if isinstance(error, ProbeFailure):
        reason, message = error.reason, error.message
    elif isinstance(error, OSError):
        refused = os_error(error)
        reason, message = refused.reason, refused.message
    else:
        reason, message = Reason.PROBE_FAILED, f"{type(error).__name__}: {error}"
    # A table cannot hold half a character, which libraries may quote from a damaged file.
    message = str(message).encode("utf-8", "backslashreplace").decode()
    return Known(*stamp, "", 0, str(reason), message)
