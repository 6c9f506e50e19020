"""One run at a time on a WORKDIR: `manifest/lock.json` names the run that writes there.

A run that dies leaves its lock behind, so the lock must show whether its run is alive. On the same
machine it does so by the boot, the process id and the start time of the process. A run on another
machine, or in another container, must renew its heartbeat; it counts as dead after SILENT_SECONDS
without one. The clocks of machines that share a WORKDIR must therefore differ by less than that.

If two runs start together, one of them is chosen as follows. On a local file system, a run reads
the lock and writes its own under a lock of the kernel (flock on the folder), which ends with the
process. Object stores and some network file systems have neither that nor a reliable "create if
absent". There a run writes its lock with a token of its own, waits SETTLE_SECONDS and reads the
lock again: the last writer has it, and the others see that. A writer that stalls for longer may
still take the lock from a run that had read its own token; that run notices with its next heartbeat
and does not publish (`Held.confirm`). Until then both write complete, immutable files only, under
names that determine their content.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from wavemill.pipeline.store import Store

LOCK = "manifest/lock.json"
HEARTBEAT_SECONDS = 15.0  # between two signs of life of a run
SILENT_SECONDS = 120.0  # without one, a run on another machine counts as dead
EXITING = 0x4  # Linux's PF_EXITING among the flags of a process: it no longer writes
SETTLE_SECONDS = 2.0  # before reading the lock again, where there is no flock


@dataclass(frozen=True)
class Holder:
    """The run that holds the lock."""

    host: str
    machine: str  # equal: process ids can be compared
    boot: str  # changes when the machine restarts
    pid: int
    process: str  # when the process started, since ids are reused
    command: str
    since: str  # ISO 8601, UTC
    heartbeat: float  # seconds since 1970
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def this_process(cls, command: str) -> Holder:
        """Return the holder that this process is; `command` is shown to other runs."""
        host, boot = platform.node(), _read(Path("/proc/sys/kernel/random/boot_id"))
        names = (host, _read(Path("/etc/machine-id")) or boot, _namespace())
        now = datetime.now(UTC)
        return cls(
            host=host,
            machine="/".join(names),
            boot=boot,
            pid=os.getpid(),
            process=_process_start(os.getpid()) or "",
            command=command,
            since=now.isoformat(timespec="seconds"),
            heartbeat=now.timestamp(),
        )

    def is_dead(self, seen_from: Holder) -> bool:
        """Whether the run has ended without removing its lock."""
        if self.machine != seen_from.machine:
            return seen_from.heartbeat - self.heartbeat > SILENT_SECONDS
        return self.boot != seen_from.boot or _process_start(self.pid) != self.process

    def __str__(self) -> str:
        since = f"{datetime.fromisoformat(self.since):%Y-%m-%d %H:%M:%S} UTC"
        return f"{self.command} on {self.host} (process {self.pid}) since {since}"


class WorkdirBusy(Exception):
    """Another run writes to the WORKDIR."""

    def __init__(self, store: Store, holder: Holder) -> None:
        super().__init__(f"{store.root} is in use: {holder}; wait until it ends, or stop it")
        self.holder = holder


class Held:
    """The lock while this run holds it; a thread renews its heartbeat."""

    def __init__(self, store: Store, holder: Holder, taken_from: Holder | None) -> None:
        self.taken_from = taken_from  # the dead run whose lock this was
        self._store, self._holder = store, holder
        self._lost_to: Holder | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="wavemill-lock", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise WorkdirBusy if the thread has seen the lock of another run; reads no file."""
        if self._lost_to is not None:
            raise WorkdirBusy(self._store, self._lost_to)

    def confirm(self) -> None:
        """Read the lock before something that only one run may do. Raises WorkdirBusy."""
        self._look()
        self.check()

    def release(self) -> None:
        """Stop the thread and remove the lock, if it is still that of this run."""
        self._stop.set()
        self._thread.join()
        with suppress(
            OSError
        ):  # for example read-only by now: then the lock stays as that of a dead run
            found = read_lock(self._store)
            if found is not None and found.token == self._holder.token:
                self._store.delete(LOCK)

    def _renew(self) -> None:
        while self._lost_to is None and not self._stop.wait(HEARTBEAT_SECONDS):
            with suppress(OSError):  # for example a full disk: the next heartbeat may succeed
                self._look()
                if self._lost_to is None:
                    _write(self._store, replace(self._holder, heartbeat=time.time()))

    def _look(self) -> None:
        found = read_lock(self._store)
        if found is not None and found.token != self._holder.token:
            self._lost_to = found


@contextmanager
def locked(store: Store, command: str, note: Callable[[str], None] | None = None) -> Iterator[Held]:
    """Hold the lock of a WORKDIR; the lock of a dead run is taken over, and `note` is told so.

    Raises WorkdirBusy, which names the run that holds it.
    """
    made = _make_folder(store)
    try:
        held = _acquire(store, Holder.this_process(command))
        try:
            if note is not None and held.taken_from is not None:
                note(f"took over the lock of a run that has died: {held.taken_from}")
            yield held
        finally:
            held.release()
    finally:
        for folder in made:  # empty if the run failed before it wrote anything
            with suppress(OSError):
                folder.rmdir()


def read_lock(store: Store) -> Holder | None:
    """Return the holder of the lock, dead or alive; None if there is no lock."""
    try:
        return Holder(**json.loads(store.read_text(LOCK) or ""))
    except (ValueError, TypeError):  # no lock, or a file of another kind
        return None


def _acquire(store: Store, mine: Holder) -> Held:
    with _exclusive(store) as alone:
        other = read_lock(store)
        if other is not None and not other.is_dead(seen_from=mine):
            raise WorkdirBusy(store, other)
        _write(store, mine)
        if not alone:
            time.sleep(SETTLE_SECONDS)
            found = read_lock(store)
            if found is not None and found.token != mine.token:
                raise WorkdirBusy(store, found)
    return Held(store, mine, other)


@contextmanager
def _exclusive(store: Store) -> Iterator[bool]:
    """Lock out other processes; yield False if the file system has no such lock."""
    if not store.local:
        yield False
        return
    folder = os.open(store.path(LOCK).parent, os.O_RDONLY)
    try:
        yield _flock(folder)
    finally:
        os.close(folder)


def _flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def _make_folder(store: Store) -> list[Path]:
    """Make the folder of the lock; return the folders that were made, innermost first."""
    if not store.local:
        return []
    folder = store.path(LOCK).parent
    missing = [path for path in (folder, folder.parent) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _write(store: Store, holder: Holder) -> None:
    store.write_text(LOCK, json.dumps(asdict(holder), indent=2) + "\n")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _namespace() -> str:
    """Return the namespace of process ids: containers have their own."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _process_start(pid: int) -> str | None:
    """Return when a process started, in ticks since boot; None if it has ended or is ending.

    Without /proc it is "" for every running process.
    """
    if Path("/proc/self/stat").exists():
        fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
        ended = not fields or fields[0] in "ZX" or int(fields[6]) & EXITING
        return None if ended else fields[19]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""
