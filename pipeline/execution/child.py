"""The process that runs stages for a supervisor: `python -m wavemill.pipeline.execution.child PID`.

It never outlives its supervisor, the process PID: on Linux the kernel ends it at once, elsewhere
it ends at the next recording, when it finds its pipe closed. (The kernel's rule follows the
thread that started the child, so a supervisor stays on one thread.)
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import sys
import traceback
from typing import Any, BinaryIO

from wavemill.pipeline.execution.protocol import (
    Kind,
    Request,
    frame,
    pickled_error,
    read_request,
    recording_frame,
)
from wavemill.pipeline.execution.worker import Worker
from wavemill.pipeline.task import TaskReport
from wavemill.stages.forked import die_with_parent


def main() -> None:
    """Serve requests until the supervisor is gone."""
    _die_with(int(sys.argv[1]))
    faulthandler.enable()  # a native crash leaves the Python frames among the last words
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
        self._worker = Worker(*job)
        self._say(frame(Kind.READY))

    def serve(self, request: Request) -> None:
        try:
            self._say(frame(Kind.LOADING, request.task.stage.encode()))
            self._worker.load(request.task)
            self._say(frame(Kind.WORKING))
            report: TaskReport | None = None
            if request.probe is None:
                report = self._worker.run(request.task, self._tell)
            else:
                self._worker.probe(request.task, request.probe, self._tell)
            self._say(frame(Kind.RESULT, pickle.dumps(report)))
        except BrokenPipeError:
            sys.exit()  # nobody is there to hear of it
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Hand an exception up, with the place where it was raised as a note."""
        lines = traceback.format_exception(error)
        error.add_note(f"in a worker, {''.join(lines).rstrip()}")
        self._say(frame(Kind.ERROR, pickled_error(error)))

    def _tell(self, recording_id: str, duration_ms: int) -> None:
        self._say(recording_frame(recording_id, duration_ms))

    def _say(self, message: bytes) -> None:
        view = memoryview(message)
        while view:
            view = view[os.write(self._answers, view) :]


def _take_pipes() -> tuple[BinaryIO, int]:
    """Keep standard input and output for the protocol; what a library prints goes to stderr."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def _die_with(supervisor: int) -> None:
    die_with_parent()
    if os.getppid() != supervisor:  # it died before the line above
        sys.exit()


if __name__ == "__main__":
    main()
