"""Where the members of a tar file lie, so that one of them can be read without its neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from wavemill.manifests.filesystems import open_file
from wavemill.manifests.tar_headers import Extents, Header, Kind, TarDamage, read_headers
from wavemill.manifests.tar_links import Links

_HEADER_BYTES = 1 << 16  # fetched for the header of a member of a remote shard


class Member(NamedTuple):
    """Where the bytes of a member lie: `size` of them from `offset` of the tar file.

    Of a sparse member only `extents` are stored, (offset in the member, bytes) each, one after
    the other from `offset` on; the rest is zeros.
    """

    offset: int
    size: int
    extents: Extents | None = None


class TarIndex(NamedTuple):
    """The members of a tar file by name, and what of it cannot be read."""

    members: Mapping[str, Member]  # links are resolved; of several with a name the last
    unusable: Mapping[str, str]  # members that hold no bytes here, and why
    repeated: int  # members that a later one of the same name replaces
    damage: str | None  # why nothing was read from some place on


class _Reading:
    """What was read so far of a tar file."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.unusable: dict[str, str] = {}
        self.links = Links()
        self.repeated = 0

    def add(self, header: Header) -> None:
        name = header.name
        if header.kind is Kind.FOLDER:
            self.links.add_folder(name)
            return
        if header.kind is Kind.HARD_LINK and header.link == name:  # tar was given a file twice
            return
        for known in (self.members, self.unusable, self.links.says):
            self.repeated += known.pop(name, None) is not None
        if header.kind is Kind.FILE:
            self.members[name] = Member(header.offset, header.size, header.extents)
        elif header.kind is Kind.SYMBOLIC_LINK:
            self.links.says[name] = header.link
        elif header.kind is Kind.HARD_LINK:
            self._add_hard_link(name, header.link)
        else:
            self.unusable[name] = header.why

    def _add_hard_link(self, name: str, target: str) -> None:
        # It means what has that name by now: a later member of the name is another file.
        if target in self.members:
            self.members[name] = self.members[target]
        elif target in self.unusable:
            self.unusable[name] = self.unusable[target]
        elif target in self.links.says:
            self.links.add_same(name, target)
        else:
            self.unusable[name] = f"a hard link to {target!r}, which is not stored before it"

    def result(self, damage: str | None) -> TarIndex:
        known = {**self.members, **self.unusable} if self.links.says else {}
        for name, target in self.links.targets(known):
            if target.member in self.members:
                self.members[name] = self.members[target.member]
            elif target.member in self.unusable:
                self.unusable[name] = self.unusable[target.member]
            elif target.why is not None:
                self.unusable[name] = target.why
        return TarIndex(self.members, self.unusable, self.repeated, damage)


@lru_cache(maxsize=16)
def tar_index(path: str, size: int, mtime_ns: int) -> TarIndex:  # noqa: ARG001 (part of the key)
    """Return the index of the uncompressed tar file at `path`; what stands before damage is in it.

    `size` and `mtime_ns` of the file are part of the key of the memory, so that an old index is
    never used for a rewritten file. Raises OSError.
    """
    with open_file(path, _HEADER_BYTES) as file:
        return _index(file, size)


def _index(file: BinaryIO, size: int) -> TarIndex:
    reading = _Reading()
    try:
        for header in read_headers(file, size):
            reading.add(header)
    except TarDamage as damage:
        return reading.result(str(damage))
    return reading.result(None)
