"""The process that runs stages for a supervisor: `python -m wavemill.pipeline.execution.child PID`.

It ends when its supervisor, the process PID, ends: on Linux at once, by a signal from the kernel;
elsewhere at the next recording, when its pipe turns out to be closed. The kernel sends the signal
when the thread ends that started the child, so a supervisor must stay on one thread.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import pickle
import signal
import sys
import traceback
from typing import Any, BinaryIO

from wavemill.pipeline.execution.protocol import (
    Kind,
    Request,
    frame,
    pickled_error,
    progress_frame,
    read_request,
    recording_frame,
)
from wavemill.pipeline.execution.runner import TaskRunner
from wavemill.pipeline.task import TaskResult

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve requests until the supervisor is gone."""
    _end_with(int(sys.argv[1]))
    faulthandler.enable()  # a native crash then prints the Python frames to stderr
    requests, answers = _take_pipes()
    job = read_request(requests)
    if job is None:
        return
    child = _Child(answers)
    try:
        child.start(*pickle.loads(job))
    except Exception as error:
        child.fail(error)
        return
    while (request := read_request(requests)) is not None:
        child.serve(pickle.loads(request))


class _Child:
    def __init__(self, answers: int) -> None:
        self._answers = answers

    def start(self, *job: Any) -> None:
        self._runner = TaskRunner(*job)
        self._send(frame(Kind.READY))

    def serve(self, request: Request) -> None:
        try:
            self._send(frame(Kind.LOADING, request.task.stage.encode()))
            self._runner.load(request.task)
            self._send(frame(Kind.WORKING))
            result: TaskResult | None = None
            if request.probe is None:
                result = self._runner.run(request.task, self._send_recording, self._send_progress)
            else:
                self._runner.probe(request.task, request.probe, self._send_recording)
            self._send(frame(Kind.RESULT, pickle.dumps(result)))
        except BrokenPipeError:
            sys.exit()  # the supervisor is gone
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Send an exception to the supervisor, with its traceback as a note."""
        lines = traceback.format_exception(error)
        error.add_note(f"in a worker, {''.join(lines).rstrip()}")
        self._send(frame(Kind.ERROR, pickled_error(error)))

    def _send_recording(self, recording_id: str, duration_ms: int) -> None:
        self._send(recording_frame(recording_id, duration_ms))

    def _send_progress(self, done_ms: int) -> None:
        self._send(progress_frame(done_ms))

    def _send(self, message: bytes) -> None:
        view = memoryview(message)
        while view:
            view = view[os.write(self._answers, view) :]


def _take_pipes() -> tuple[BinaryIO, int]:
    """Return (requests, answers), and let whatever libraries print go to stderr."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def _end_with(supervisor: int) -> None:
    """Have the kernel end this process when the supervisor ends (on Linux; elsewhere nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor:  # it ended before the line above ran
        sys.exit()


if __name__ == "__main__":
    main()
