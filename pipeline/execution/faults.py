"""Faults that no recording is to blame for."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from pipeline.task import NO_SPACE


class RunStopped(Exception):
    """The run cannot go on until a person has mended something; the message says what."""


class DiskFull(RunStopped):
    """A table could not be written for lack of space."""


class WorkerUnavailable(RunStopped):
    """Worker processes cannot start, or die or hang while they load an engine."""


class ClusterTooSmall(RunStopped):
    """The cluster does not give the workers that the groups need."""


class TaskFailed(Exception):
    """A stage on a shard was tried often enough; the next run tries it again."""


def disk_full(error: BaseException, folder: str) -> DiskFull | None:
    """Return what to raise in place of `error` if it says that there is no space left.

    `folder` is where the writing was done; it need not exist or be local.
    """
    if not isinstance(error, OSError) or error.errno not in NO_SPACE:
        return None
    where = f"{error.filename or folder}"
    quota = " (a quota)" if error.errno == errno.EDQUOT else ""
    return DiskFull(
        f"no space left{quota} for {where}{_free(folder)}; "
        "free some and run the same command again: it goes on where it stopped"
    )


def _free(folder: str) -> str:
    """Return e.g. ": 3 of 500 MB are free", or nothing where that cannot be known."""
    place = Path(folder)
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        usage = shutil.disk_usage(place)
    except OSError:
        return ""
    return f": {usage.free / 1e6:,.0f} of {usage.total / 1e6:,.0f} MB are free in {place}"
