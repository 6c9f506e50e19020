"""Small audio files, manifests and a probe for the tests of `manifests`."""

from __future__ import annotations

import json
import tarfile
import wave
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from wavemill.manifests.cache import HashCache
from wavemill.manifests.config import ScanConfig
from wavemill.manifests.recording import Sources
from wavemill.manifests.scan import scan_sources
from wavemill.manifests.uri import open_uri

RATE = 8000


class BadAudio(Exception):
    """What the probe below raises: recognised by its attributes."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Length:
    duration_ms: int
    channels: int = 1


def wav_probe(uri: str) -> Length:
    """A probe that knows WAV files only."""
    try:
        with open_uri(uri) as file, wave.open(file) as audio:
            length = round(audio.getnframes() * 1000 / audio.getframerate())
            return Length(length, audio.getnchannels())
    except (wave.Error, EOFError) as error:
        raise BadAudio("not_audio", f"no WAV file: {error}") from error


class CountingProbe:
    """`wav_probe` that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, uri: str) -> Length:
        self.asked.append(uri)
        return wav_probe(uri)


def wav_bytes(milliseconds: int, value: int = 1, channels: int = 1) -> bytes:
    """Return a WAV file of that length; another `value` (0 to 255) is another content."""
    buffer = BytesIO()
    with wave.open(buffer, "wb") as audio:
        audio.setnchannels(channels)
        audio.setsampwidth(1)
        audio.setframerate(RATE)
        audio.writeframes(bytes([value]) * (RATE * milliseconds // 1000 * channels))
    return buffer.getvalue()


def write_wav(path: Path, milliseconds: int = 1000, value: int = 1, channels: int = 1) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(wav_bytes(milliseconds, value, channels))
    return str(path)


def write_lines(path: Path, lines: Iterable[Mapping[str, Any] | str]) -> str:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return str(path)


def write_tar(path: Path, members: Mapping[str, bytes]) -> str:
    with tarfile.open(path, "w") as shard:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            shard.addfile(info, BytesIO(content))
    return str(path)


def scan(
    *sources: str | Path, cache: HashCache | None = None, config: ScanConfig | None = None
) -> Sources:
    return scan_sources(
        [str(s) for s in sources],
        wav_probe,
        HashCache() if cache is None else cache,
        config=config or ScanConfig(),
    )


def known_files(cache: HashCache) -> int:
    """Return how many files a cache knows."""
    return len(cache._known)


def reasons(sources: Sources) -> list[tuple[str, str]]:
    """Return (uri, reason) of the errors."""
    return [(error.source, str(error.reason)) for error in sources.errors]


def uris(sources: Sources) -> Sequence[str]:
    return sorted(recording.uri for recording in sources.recordings)
