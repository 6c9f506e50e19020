"""A child process as its supervisor sees it: requests, answers, limits on time and memory."""

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
    progress_of,
    recording_of,
    take_frames,
    unpickled,
    write_request,
)

CRASHED, TIMED_OUT, OUT_OF_MEMORY = "worker_crashed", "timed_out", "out_of_memory"
POLL_SECONDS = 0.1  # between two checks of the child's memory
KEPT_STDERR_BYTES = 4096
_READ_BYTES = 1 << 16
_KILL_SECONDS = 10.0  # to wait for a killed process, which may hang in the kernel


@dataclass(eq=False)
class ChildDied(Exception):
    """The child has ended. `recording_id` is None if it was not working on a recording."""

    reason: str
    message: str
    recording_id: str | None = None
    while_working: bool = True  # False: it was starting or loading an engine


class ChildProcess:
    """One child. It starts at once and takes one request at a time, always from the same thread."""

    def __init__(self, job: bytes, limits: Limits) -> None:
        """`job` is the pickled arguments of `wavemill.pipeline.execution.runner.TaskRunner`."""
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
            process_group=0,  # Ctrl-C reaches only the supervisor, which ends the group
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
        self._memory_checked = 0.0
        self.done_ms = 0  # audio of the request that is being answered; any thread may read it
        self._duration_ms = self._passed_ms = 0  # of the recording, and of those before it
        self._start_phase("starting", limits.load_timeout_s)
        self._send(job)

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    def ask(self, request: bytes) -> Any:
        """Return the answer to a pickled `Request`. Raises ChildDied, and what the child raised."""
        if self._phase != "starting":
            self._start_phase("between tasks", self._limits.load_timeout_s)
        self.done_ms = self._duration_ms = self._passed_ms = 0
        self._send(request)
        while True:
            gone = not self.alive  # asked before reading, so that its last answers are read too
            for kind, payload in self._receive(gone):
                if kind is Kind.RESULT:
                    return unpickled(payload)
                if kind is Kind.ERROR:
                    raise self._raised(unpickled(payload))
                self._note_phase(kind, payload)
            if gone:
                raise self._died(CRASHED, _exit_of(self._process.returncode, self._stderr))
            self._check_limits()

    def kill(self) -> None:
        """End the child and all processes that it has started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_SECONDS)
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _send(self, request: bytes) -> None:
        # `ask` notices a child that has ended.
        with suppress(BrokenPipeError):
            write_request(self._requests, request)  # type: ignore[arg-type]

    def _receive(self, gone: bool) -> list[tuple[Kind, bytes]]:
        """Return the frames that have arrived; wait for some, but at most POLL_SECONDS."""
        if gone:
            while self._read(self._answers) or self._read(self._errors):
                pass
            return list(take_frames(self._buffer))
        wait = min(POLL_SECONDS, max(self._deadline - time.monotonic(), 0.0))
        for key, _ in self._selector.select(wait):
            if not self._read(key.fd):
                self._selector.unregister(key.fd)
        return list(take_frames(self._buffer))

    def _read(self, pipe: int) -> bool:
        """Read from a pipe once; return False if it is empty or closed."""
        try:
            chunk = os.read(pipe, _READ_BYTES)
        except BlockingIOError:
            return False
        if pipe == self._answers:
            self._buffer.extend(chunk)
        else:
            self._stderr.extend(chunk)
            del self._stderr[:-KEPT_STDERR_BYTES]
            with suppress(OSError):
                os.write(2, chunk)  # also into the log of the supervisor
        return bool(chunk)

    def _note_phase(self, kind: Kind, payload: bytes) -> None:
        if kind is Kind.RECORDING:
            recording_id, duration_ms = recording_of(payload)
            self._start_phase("recording", self._limits.recording_s(duration_ms), recording_id)
            self._passed_ms += self._duration_ms
            self._duration_ms = duration_ms
            self.done_ms = self._passed_ms
        elif kind is Kind.PROGRESS:
            self.done_ms = self._passed_ms + min(progress_of(payload), self._duration_ms)
        elif kind is Kind.LOADING:
            self._start_phase(
                f"loading the engine of {payload.decode()}", self._limits.load_timeout_s
            )
        elif kind is Kind.WORKING:
            self._start_phase("opening tables", self._limits.load_timeout_s)

    def _start_phase(self, phase: str, limit_s: float, recording_id: str | None = None) -> None:
        self._phase, self._limit_s, self._recording = phase, limit_s, recording_id
        self._deadline = time.monotonic() + limit_s

    def _check_limits(self) -> None:
        """Kill the child and raise ChildDied if it exceeds its time or memory."""
        now = time.monotonic()
        if now >= self._deadline:
            self.kill()
            raise self._died(TIMED_OUT, f"took longer than {self._limit_s:g} s")
        if now - self._memory_checked >= POLL_SECONDS:
            self._memory_checked = now
            limit = self._limits.memory_bytes
            if limit is not None and used_memory(self._memory) > limit:
                self.kill()
                raise self._died(OUT_OF_MEMORY, f"took more than {limit / 1e9:g} GB of memory")

    def _raised(self, error: Exception) -> Exception:
        """Return what to raise for an error of the child; a MemoryError counts as its death."""
        if not isinstance(error, MemoryError):
            return error
        self.kill()
        return self._died(OUT_OF_MEMORY, "asked for more memory than there is")

    def _died(self, reason: str, message: str) -> ChildDied:
        if self._recording is None:
            message = f"{message} (while {self._phase})"
        while_working = self._phase in ("recording", "opening tables")
        return ChildDied(reason, message, self._recording, while_working)


def _exit_of(code: int, stderr: bytearray) -> str:
    """Describe how a process ended, with the innermost frame of a crash or its last line."""
    if code == -signal.SIGKILL:
        return "the worker was ended by SIGKILL"  # by a person, or by a system without memory
    known = {-s: f"was ended by {s.name}" for s in signal.Signals}
    how = f"the worker {known.get(code, f'left with code {code}')}"
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines()]
    # faulthandler prints the innermost frame first.
    frames = [line for line in lines if line.startswith("File ")]
    words = frames[:1] or [line for line in lines if line][-1:]
    return f"{how}; last: {words[0][:200]}" if words else how
