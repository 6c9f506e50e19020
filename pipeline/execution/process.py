"""A child process seen by its supervisor: what it does, how long, in how much memory."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from wavemill.pipeline.execution.limits import Limits, used_memory
from wavemill.pipeline.execution.protocol import (
    Kind,
    recording_of,
    take_frames,
    unpickled,
    write_request,
)

CRASHED, TIMED_OUT, OUT_OF_MEMORY = "worker_crashed", "timed_out", "out_of_memory"
POLL_SECONDS = 0.1  # between two looks at the child's memory
KEPT_STDERR = 4096  # bytes
_READ = 1 << 16
_GONE_SECONDS = 10.0  # until a killed process is given up (it may hang in the kernel)


@dataclass(eq=False)
class Death(Exception):
    """The child is gone. `recording_id` is None when it died outside any recording."""

    reason: str
    message: str
    recording_id: str | None = None
    at_work: bool = True  # False: while it started or loaded an engine


class ChildProcess:
    """One child, started at once; it is asked one thing at a time, always by the same thread."""

    def __init__(self, job: bytes, limits: Limits) -> None:
        """`job` is what `wavemill.pipeline.execution.worker.Worker` takes, pickled."""
        self._limits = limits
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "wavemill.pipeline.execution.child", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                **os.environ,
                "PYTHONUTF8": "1",  # names of files are UTF-8, whatever this machine's locale is
                "PYTHONPATH": os.pathsep.join(p or str(Path.cwd()) for p in sys.path),
            },
            process_group=0,  # Ctrl-C reaches the supervisor only, which ends the group
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._requests = self._process.stdin
        self._answers, self._errors = self._process.stdout.fileno(), self._process.stderr.fileno()
        self._selector = selectors.DefaultSelector()
        for pipe in (self._answers, self._errors):
            os.set_blocking(pipe, False)
            self._selector.register(pipe, selectors.EVENT_READ)
        self._memory = psutil.Process(self._process.pid)
        self._buffer, self._stderr = bytearray(), bytearray()
        self._looked = 0.0
        self._enter("starting", limits.load_timeout_s)
        self._send(job)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: bytes) -> Any:
        """Return the answer to a pickled `Request`.

        Raises Death, and what the child raises.
        """
        if self._phase != "starting":
            self._enter("between tasks", self._limits.load_timeout_s)
        self._send(request)
        while True:
            gone = not self.alive  # before reading: what it said last is then read as well
            for kind, payload in self._receive(gone):
                if kind is Kind.RESULT:
                    return unpickled(payload)
                if kind is Kind.ERROR:
                    raise self._raised(unpickled(payload))
                self._follow(kind, payload)
            if gone:
                raise self._death(CRASHED, _exit_of(self._process.returncode, self._stderr))
            self._check_limits()

    def kill(self) -> None:
        """End the child and everything that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GONE_SECONDS)
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _send(self, request: bytes) -> None:
        # A child that is gone is found by the next look at it.
        with suppress(BrokenPipeError):
            write_request(self._requests, request)  # type: ignore[arg-type]

    def _receive(self, gone: bool) -> list[tuple[Kind, bytes]]:
        """Wait for something to come, but no longer than until the next look at the child."""
        if gone:
            while self._take(self._answers) or self._take(self._errors):
                pass
            return list(take_frames(self._buffer))
        wait = min(POLL_SECONDS, max(self._deadline - time.monotonic(), 0.0))
        for key, _ in self._selector.select(wait):
            if not self._take(key.fd):
                self._selector.unregister(key.fd)
        return list(take_frames(self._buffer))

    def _take(self, pipe: int) -> bool:
        """Read once; False when there is nothing more to come, or none now."""
        try:
            chunk = os.read(pipe, _READ)
        except BlockingIOError:
            return False
        if pipe == self._answers:
            self._buffer.extend(chunk)
        else:
            self._stderr.extend(chunk)
            del self._stderr[:-KEPT_STDERR]
            with suppress(OSError):
                os.write(2, chunk)  # into the log of the supervisor
        return bool(chunk)

    def _follow(self, kind: Kind, payload: bytes) -> None:
        if kind is Kind.RECORDING:
            recording_id, duration_ms = recording_of(payload)
            self._enter("recording", self._limits.recording_s(duration_ms), recording_id)
        elif kind is Kind.LOADING:
            self._enter(f"loading the engine of {payload.decode()}", self._limits.load_timeout_s)
        elif kind is Kind.WORKING:
            self._enter("opening tables", self._limits.load_timeout_s)

    def _enter(self, phase: str, limit_s: float, recording_id: str | None = None) -> None:
        self._phase, self._limit_s, self._recording = phase, limit_s, recording_id
        self._deadline = time.monotonic() + limit_s

    def _check_limits(self) -> None:
        """Kill the child and raise Death if it is too slow or too big."""
        now = time.monotonic()
        if now >= self._deadline:
            self.kill()
            raise self._death(TIMED_OUT, f"took longer than {self._limit_s:g} s")
        if now - self._looked >= POLL_SECONDS:
            self._looked = now
            limit = self._limits.memory_bytes
            if limit is not None and used_memory(self._memory) > limit:
                self.kill()
                raise self._death(OUT_OF_MEMORY, f"took more than {limit / 1e9:g} GB of memory")

    def _raised(self, error: Exception) -> Exception:
        """Memory that the system refuses at once is as deadly as what the limit ends later."""
        if not isinstance(error, MemoryError):
            return error
        self.kill()
        return self._death(OUT_OF_MEMORY, "asked for more memory than there is")

    def _death(self, reason: str, message: str) -> Death:
        if self._recording is None:
            message = f"{message} (while {self._phase})"
        at_work = self._phase in ("recording", "opening tables")
        return Death(reason, message, self._recording, at_work)


def _exit_of(code: int, stderr: bytearray) -> str:
    """Say how a process ended, with the place of a crash or else its last line."""
    if code == -signal.SIGKILL:
        return "the worker was ended by SIGKILL"  # by someone, or by a system without memory
    known = {-s: f"was ended by {s.name}" for s in signal.Signals}
    how = f"the worker {known.get(code, f'left with code {code}')}"
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines()]
    frames = [
        line for line in lines if line.startswith("File ")
    ]  # of faulthandler, innermost first
    words = frames[:1] or [line for line in lines if line][-1:]
    return f"{how}; last: {words[0][:200]}" if words else how
