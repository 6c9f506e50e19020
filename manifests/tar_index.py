"""Where the members of a tar file are, so that one can be read without the others."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from wavemill.manifests.filesystems import open_file
from wavemill.manifests.tar_headers import Extents, Header, Kind, TarDamage, read_headers

_HEADER_BYTES = 1 << 16  # fetched for the header of a member of a remote tar file
_MAX_LINKS = 40  # to follow one after the other, as in the Linux kernel
_MAX_PATH = 4096  # of Linux


class Member(NamedTuple):
    """Where a member is: `size` bytes from `offset` of the tar file.

    A sparse member stores only its `extents`, each (offset in the member, bytes), one after the
    other from `offset` on; all other bytes are zeros.
    """

    offset: int
    size: int
    extents: Extents | None = None


class TarIndex(NamedTuple):
    """The members of a tar file by name, and what cannot be read."""

    members: Mapping[str, Member]  # with links resolved; the last one of each name
    unusable: Mapping[str, str]  # members that cannot be read, and why
    repeated: int  # members that a later one of the same name replaces
    damage: str | None  # why nothing was read from some byte on


class _Target(NamedTuple):
    """The member that a link leads to, or why there is none; neither for a folder."""

    member: str | None
    why: str | None


class _Links:
    """The symbolic links of a tar file, as if it were unpacked into an empty folder.

    `says` maps the name of a link to its target.
    """

    def __init__(self) -> None:
        self.says: dict[str, str] = {}  # by the name of the link
        self.folders: set[str] = set()  # members that are folders, without `./` before them

    def add_folder(self, name: str) -> None:
        self.folders.add(posixpath.normpath(name))

    def add_same(self, name: str, link: str) -> None:
        """Add a hard link to the symbolic `link`, with another name."""
        where = posixpath.join(posixpath.dirname(link), self.says[link])
        self.says[name] = posixpath.relpath(where, posixpath.dirname(name) or ".")

    def targets(self, members: Collection[str]) -> Iterator[tuple[str, _Target]]:
        """Follow each link to one of the `members`."""
        if self.says:
            self._add_parents(members)
        for name in self.says:
            yield name, self._target(name, members)

    def _add_parents(self, members: Collection[str]) -> None:
        for name in members:
            parent = posixpath.dirname(posixpath.normpath(name))
            while parent not in self.folders and parent not in ("", "/"):
                self.folders.add(parent)
                parent = posixpath.dirname(parent)

    def _target(self, name: str, members: Collection[str]) -> _Target:
        says = self.says[name]
        if max(len(name), len(says)) > _MAX_PATH:
            return _Target(None, "a link with a name that is longer than a path can be")
        path = self._follow(posixpath.join(posixpath.dirname(name), says))
        if path is None:
            return _Target(None, f"a link to {says!r} that leads back to itself")
        for form in (path, f"./{path}"):
            if form in members:
                return _Target(form, None)
        if not path or path in self.folders:
            return _Target(None, None)
        return _Target(None, f"a link to {says!r}, which is not in this tar file; remedy: tar -h")

    def _follow(self, path: str) -> str | None:
        """Return the path with links resolved, None if they lead in a circle."""
        rest = path.split("/")[::-1]
        absolute = rest[-1] == ""
        found: list[str] = []
        hops = 0
        while rest:
            part = rest.pop()
            if part == "..":
                # Above the root there is nothing of this file.
                found = found[:-1] if found and found[-1] != ".." else [*found, ".."]
            elif part not in ("", "."):
                found.append(part)
                here = ("/" if absolute else "") + "/".join(found)
                link = self.says.get(here, self.says.get(f"./{here}"))
                if link is not None:
                    hops += 1
                    if hops > _MAX_LINKS:
                        return None
                    absolute, found = (True, []) if link.startswith("/") else (absolute, found[:-1])
                    rest += link.split("/")[::-1]
        return ("/" if absolute else "") + "/".join(found)


class _Reading:
    """The members of a tar file that were read so far."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.unusable: dict[str, str] = {}
        self.links = _Links()
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
        # It means the earlier member of that name; a later one is another file.
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
    """Return the index of the uncompressed tar file at `path`; it has the members before damage.

    `size` and `mtime_ns` of the file are part of the key of the cache, so that a file that was
    rewritten gets a new index. Raises OSError.
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
