"""Symbolic links in a tar file: which of its members they mean."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator
from typing import NamedTuple

_MAX_HOPS = 40  # as the Linux kernel follows
_MAX_PATH = 4096  # of Linux


class Target(NamedTuple):
    """The member that a link means, or why there is none; neither where it means a folder."""

    member: str | None
    why: str | None


class Links:
    """The symbolic links of a tar file, as if it were unpacked into an empty folder."""

    def __init__(self) -> None:
        self.says: dict[str, str] = {}  # by the name of the link
        self.folders: set[str] = set()  # members that are folders, without `./` before them

    def add_folder(self, name: str) -> None:
        self.folders.add(posixpath.normpath(name))

    def add_same(self, name: str, link: str) -> None:
        """Add a hard link to the symbolic `link`, with another name."""
        where = posixpath.join(posixpath.dirname(link), self.says[link])
        self.says[name] = posixpath.relpath(where, posixpath.dirname(name) or ".")

    def targets(self, members: Collection[str]) -> Iterator[tuple[str, Target]]:
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

    def _target(self, name: str, members: Collection[str]) -> Target:
        says = self.says[name]
        if max(len(name), len(says)) > _MAX_PATH:
            return Target(None, "a link with a name that is longer than a path can be")
        path = self._follow(posixpath.join(posixpath.dirname(name), says))
        if path is None:
            return Target(None, f"a link to {says!r} that leads back to itself")
        for form in (path, f"./{path}"):
            if form in members:
                return Target(form, None)
        if not path or path in self.folders:
            return Target(None, None)
        return Target(None, f"a link to {says!r}, which is not in this tar file; remedy: tar -h")

    def _follow(self, path: str) -> str | None:
        """Return the path without links in it, None where it leads in circles."""
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
                    if hops > _MAX_HOPS:
                        return None
                    absolute, found = (True, []) if link.startswith("/") else (absolute, found[:-1])
                    rest += link.split("/")[::-1]
        return ("/" if absolute else "") + "/".join(found)
