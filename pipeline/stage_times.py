"""What the workers' time of a run was spent on, by stage."""

from __future__ import annotations

from dataclasses import dataclass, replace

from wavemill.pipeline.execution.events import Event, TaskDone


@dataclass(frozen=True)
class StageTime:
    """The time that workers took for a stage; engines were loaded before it began."""

    stage: str
    audio_ms: int = 0
    seconds: float = 0.0  # of all workers together, wall time
    cpu_seconds: float = 0.0

    @property
    def waiting(self) -> float:
        """Seconds without the processor: for disks, networks, a GPU, other processes."""
        return max(self.seconds - self.cpu_seconds, 0.0)

    @property
    def speed(self) -> float:
        """Seconds of audio per second of a worker; 0 where that is not known."""
        return self.audio_ms / 1000 / self.seconds if self.seconds > 0 else 0.0


class StageTimes:
    """Adds up the times of a run."""

    def __init__(self) -> None:
        self._found: dict[str, StageTime] = {}

    def add(self, event: Event) -> None:
        """Note what has happened."""
        if isinstance(event, TaskDone):
            result = event.result
            time = self._found.setdefault(result.stage, StageTime(result.stage))
            self._found[result.stage] = replace(
                time,
                audio_ms=time.audio_ms + result.audio_ms,
                seconds=time.seconds + result.seconds,
                cpu_seconds=time.cpu_seconds + result.cpu_seconds,
            )

    def all(self) -> tuple[StageTime, ...]:
        """Return the stages in the order in which they were done first."""
        return tuple(self._found.values())
