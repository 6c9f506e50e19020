"""Files that a scan found and did not read: counted by ending, reported in notes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from wavemill.manifests.file_names import in_a_line
from wavemill.manifests.kinds import FileKind, ending_of

_MAX_ENDINGS = 8  # in one note

WHY = {
    FileKind.MANIFEST: "a manifest in a folder is used only when it is named as a source itself",
    FileKind.TAR: "a tar file by content; remedy: let its name end with .tar",
    FileKind.ARCHIVE: "archives are not opened; remedy: unpack, or gunzip a .tar.gz to a .tar",
    FileKind.TABLE: "tables are not manifests (of conversations, name the Parquet file itself);"
    " remedy: write each row as JSON to a .jsonl file",
    FileKind.TEXT: "text is used where a manifest gives it (in a tar: .txt and .json)",
    FileKind.LABEL: "labels in tar files that fit the name of no audio there",
    FileKind.UNFINISHED: "by their endings no whole files; remedy: download them to the end",
    FileKind.SPECIAL: "no files but pipes, devices or links to nowhere",
    FileKind.OTHER: "no audio by their first bytes; remedy if they are: convert them, as to WAV",
}


@dataclass(slots=True)
class _Group:
    endings: Counter[str] = field(default_factory=Counter)  # as they are printed
    first: str = ""  # in sorted order

    def add(self, ending: str, count: int, name: str) -> None:
        self.endings[ending] += count
        self.first = min(self.first or name, name)


class Unread:
    """Files and members of tar files that were not read, by kind and ending."""

    def __init__(self) -> None:
        self._groups: dict[FileKind, _Group] = {}

    def add(self, kind: FileKind, name: str, base: str) -> None:
        """Count one file; `name` is its path or the name of the member, `base` the file name."""
        ending = ending_of(base)
        told = f".{ending}" if ending else "without ending"
        if base.startswith("."):
            told = "hidden"
        self._groups.setdefault(kind, _Group()).add(told, 1, name)

    def add_all(self, other: Unread) -> None:
        """Add the counts of another scan."""
        for kind, group in other._groups.items():
            for ending, count in group.endings.items():
                self._groups.setdefault(kind, _Group()).add(ending, count, group.first)

    def notes(self) -> list[str]:
        """Return a sentence for each kind."""
        return [self._note(kind, group) for kind, group in self._groups.items()]

    def _note(self, kind: FileKind, group: _Group) -> str:
        counted = f"{_counts(group.endings)} not read"
        if kind is FileKind.CLUTTER:
            return counted
        return f"{counted} ({in_a_line(group.first)}{_more(group.endings.total())}): {WHY[kind]}"


def _counts(endings: Counter[str]) -> str:
    """Return `3 .csv, 1 .tar.gz`, the most frequent first."""
    ordered = sorted(endings.items(), key=lambda item: (-item[1], item[0]))
    texts = [f"{n:,} {ending}" for ending, n in ordered[:_MAX_ENDINGS]]
    if len(ordered) > _MAX_ENDINGS:
        rest = ordered[_MAX_ENDINGS:]
        texts.append(f"{sum(n for _, n in rest):,} with {len(rest):,} other endings")
    return ", ".join(texts)


def _more(count: int) -> str:
    return f" and {count - 1:,} more" if count > 1 else ""
