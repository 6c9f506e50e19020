"""The reasons why an entry of a source cannot be used, and their exceptions."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class Reason(StrEnum):
    """Stable names of reasons; a probe adds its own (`not_audio`, ...)."""

    # a file
    EMPTY_FILE = "empty_file"
    NO_SAMPLES = "no_samples"
    PERMISSION_DENIED = "permission_denied"
    FILE_MISSING = "file_missing"
    UNREADABLE = "unreadable"
    NOT_A_FILE = "not_a_file"
    NAME_NOT_UTF8 = "name_not_utf8"
    TIMED_OUT = "timed_out"
    SOURCE_CHANGED = "source_changed"  # since the scan, or while it was read
    PROBE_FAILED = "probe_failed"  # the probe raised an unknown error
    # a source
    NO_AUDIO_FOUND = "no_audio_found"
    BAD_MANIFEST = "bad_manifest"
    BAD_TAR = "bad_tar"
    # an entry of a manifest or a tar file
    BAD_MANIFEST_LINE = "bad_manifest_line"
    BAD_FIELD = "bad_field"
    BAD_MEMBER = "bad_member"  # of a tar: a link to nowhere, a device, a broken sparse map
    BAD_LABEL = "bad_label"
    AMBIGUOUS_LABEL = "ambiguous_label"
    BEYOND_END = "beyond_end"
    SOURCE_NOT_ALLOWED = "source_not_allowed"
    ENTRY_FAILED = "entry_failed"  # reading it raised an unknown error
    UNSUPPORTED_SOURCE = "unsupported_source"
    UNSUPPORTED_CUT = "unsupported_cut"
    NO_SUCH_CHANNEL = "no_such_channel"
    UNSUPPORTED_CHANNEL = "unsupported_channel"
    UNSUPPORTED_TRANSFORM = "unsupported_transform"
    RECORDING_UNKNOWN = "recording_unknown"
    BAD_CONVERSATION = "bad_conversation"  # one that is written, in a JSONL or Parquet file
    # a server that a stage asks
    SERVER_DOWN = "server_down"


_MAX_MESSAGE = 300  # characters; exceptions may quote long texts


class SourceNotFound(Exception):
    """A source that the user named does not exist: a usage error, not a row of the errors."""

    def __init__(self, sources: Sequence[str]) -> None:
        names = ", ".join(repr(source) for source in sources)
        super().__init__(f"no such file or folder: {names}")
        self.sources = tuple(sources)


class EntryError(Exception):
    """One entry cannot be used; its caller, who knows the place, makes a `SourceError` of it."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = _harmless(message)


def _harmless(text: str) -> str:
    """Return a text that is safe for terminals and tables, since messages quote files."""
    if text.isprintable():
        return text
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(escaped)


def os_error(error: OSError, doing: str = "read") -> EntryError:
    """Return an error of the operating system as an EntryError, without the path."""
    if isinstance(error, PermissionError):
        return EntryError(Reason.PERMISSION_DENIED, f"no permission to {doing} it")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return EntryError(Reason.FILE_MISSING, "it does not exist")
    return EntryError(Reason.UNREADABLE, f"cannot {doing} it: {error.strerror or error}")


def unexpected(error: Exception) -> EntryError:
    """Return an unknown error as an EntryError, so that one entry does not stop a scan."""
    return EntryError(Reason.ENTRY_FAILED, f"{type(error).__name__}: {error}"[:_MAX_MESSAGE])
