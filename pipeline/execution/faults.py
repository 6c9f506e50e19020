"""Errors that no recording causes: disks, limits, permissions, clusters."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import duckdb

from wavemill.pipeline.task import NO_SPACE


class RunStopped(Exception):
    """The run cannot go on until a person has fixed something; the message says what."""


class DiskFull(RunStopped):
    """A table could not be written for lack of space."""


class WorkerUnavailable(RunStopped):
    """Worker processes do not start, or die or hang while they load an engine."""


class ClusterTooSmall(RunStopped):
    """The cluster has no room for the workers that the groups need."""


class TaskFailed(Exception):
    """A task failed in all its attempts; the next run tries it again."""


def disk_full(error: BaseException, folder: str) -> DiskFull | None:
    """Return the exception to raise instead of `error` if no space is left, None otherwise.

    `folder` was written to; it need not exist or be local.
    """
    if not isinstance(error, OSError) or error.errno not in NO_SPACE:
        return None
    where = str(error.filename or folder)
    quota = " (a quota)" if error.errno == errno.EDQUOT else ""
    place = f" for {where}{_free(folder or where)}" if where else ""
    return DiskFull(
        f"no space left{quota}{place}; "
        "free some and run the same command again: it goes on where it stopped"
    )


REMEDIES = {
    errno.EROFS: "it can be looked at (show, snapshots, diff, verify), but not be written to",
    errno.EACCES: "ask for the permission, or name another folder",
    errno.EPERM: "ask for the permission, or name another folder",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine",
    errno.EIO: "look at the disk or the network that it is on",
    errno.ESTALE: "look at the network that it is on",
    errno.ENOTCONN: "look at the network that it is on",
    errno.ENAMETOOLONG: "name a folder with a shorter path",
    errno.ENOTDIR: "a file stands where a folder should be; name another one",
    errno.EEXIST: "a file stands where a folder should be; name another one",
    errno.ELOOP: "its links lead in a circle",
}


def fault_of_surroundings(error: BaseException) -> RunStopped | None:
    """Return the exception to raise instead of `error` for a disk, a limit or a permission.

    None for any other error.
    """
    if isinstance(error, duckdb.Error):  # it carries no errno
        numbers = [n for n in (*NO_SPACE, *REMEDIES) if os.strerror(n) in str(error)]
        error = OSError(numbers[0], str(error).splitlines()[0]) if numbers else error
    if not isinstance(error, OSError):
        return None
    if (full := disk_full(error, "")) is not None:
        return full
    if error.errno not in REMEDIES:
        return None
    where = f"{os.fspath(error.filename)}: " if isinstance(error.filename, str) else ""
    return RunStopped(f"{where}{error.strerror}; {REMEDIES[error.errno]}")


def _free(folder: str) -> str:
    """Return for example ": 3 of 500 MB are free", or "" if that is not known."""
    place = Path(folder)
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        usage = shutil.disk_usage(place)
    except OSError:
        return ""
    return f": {usage.free / 1e6:,.0f} of {usage.total / 1e6:,.0f} MB are free in {place}"
