"""Where the members of a tar file lie, so that one of them can be read without its neighbours."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from manifests.filesystems import open_file

_HEADER_BYTES = 1 << 16  # fetched for the header of a member of a remote shard


class TarIndex(NamedTuple):
    """The regular members of a tar file and, where it is damaged, how."""

    members: Mapping[str, tuple[int, int]]  # name: (offset, size) in bytes; the last of a name
    damage: str | None


@lru_cache(maxsize=16)
def tar_index(path: str, size: int, mtime_ns: int) -> TarIndex:  # noqa: ARG001 (part of the key)
    """Return the index of the uncompressed tar file at `path`; what stands before damage is in it.

    `size` and `mtime_ns` of the file are part of the key of the memory, so that an old index is
    never used for a rewritten file. Raises OSError.
    """
    members: dict[str, tuple[int, int]] = {}
    try:
        with (
            open_file(path, _HEADER_BYTES) as file,
            tarfile.open(fileobj=file, mode="r:") as archive,
        ):
            for member in archive:
                if not member.isreg() or member.issparse():
                    continue
                if member.offset_data + member.size > size:
                    return TarIndex(members, f"it ends within {member.name!r}")
                members[member.name] = (member.offset_data, member.size)
            return TarIndex(members, _damage_after(archive))
    except tarfile.TarError as error:
        return TarIndex(members, str(error))


def _damage_after(archive: tarfile.TarFile) -> str | None:
    # tarfile takes a header that it cannot read for the end of the archive; the true end is
    # a block of zeros, or nothing.
    if archive.fileobj is None:
        return None
    archive.fileobj.seek(archive.offset)
    if any(archive.fileobj.read(tarfile.BLOCKSIZE)):
        return f"no member header at byte {archive.offset}"
    return None
