"""What a scan needs of whoever can open audio; handed in by the caller."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


class Probed(Protocol):
    """What is known of an audio file without decoding it."""

    @property
    def duration_ms(self) -> int:
        """Length in milliseconds, above 0; counted by decoding where the container is silent."""
        ...

    @property
    def channels(self) -> int:
        """Number of channels, above 0."""
        ...


class Probe(Protocol):
    """Opens one recording and says how long it is and how many channels it has.

    It gets a `uri` as it stands in `Recording.uri` (`manifests.uri.open_uri` opens it) and is
    called from several threads at once. What is no usable audio it reports by raising an
    exception that has the attributes of `ProbeFailure`.
    """

    def __call__(self, uri: str) -> Probed: ...


@runtime_checkable
class ProbeFailure(Protocol):
    """The attributes of an exception that a probe raises (recognised by them, not by class)."""

    reason: str  # stable snake_case name: not_audio, no_audio_track, ...
    message: str  # one sentence for a person
