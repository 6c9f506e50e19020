"""How far a run is, in audio, and what time the rest will take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from wavemill.pipeline.estimate import Cost
from wavemill.pipeline.execution.events import Event, Progress, TaskDone
from wavemill.pipeline.plan import StageLoad

# CPU seconds per second of audio of the embedded profile (benchmarks/long_recording.md; denoise.md,
# of half the recordings, and diarization.md), for a WORKDIR in which a stage has never run. What
# is measured in the run takes their place.
TYPICAL = {
    "denoise": 0.045,
    "diarize": 0.026,
    "transcribe": 0.05,
    "score_audio": 0.023,
    "decode": 0.003,
}
TYPICAL_OF_OTHERS = 0.001


class Remaining:
    """The work of a run: a second of audio weighs in each stage as much as the stage takes."""

    def __init__(self, loads: Iterable[StageLoad], costs: Mapping[str, Cost]) -> None:
        """`costs` are those of `wavemill.pipeline.estimate.estimate`."""
        found = [load for load in loads if load.shards]
        self.total_ms: dict[str, int] = {load.stage: load.audio_ms for load in found}
        self.done_ms: Counter[str] = Counter()  # by stage
        self._rates = {
            stage: _rate(stage, ms, costs.get(stage)) for stage, ms in self.total_ms.items()
        }
        self._told: Counter[tuple[str, str]] = Counter()  # stage and shard -> ms
        self._measured: dict[str, tuple[float, int]] = {}  # stage -> CPU seconds, ms of audio

    def add(self, event: Event) -> None:
        """Note what has happened."""
        if isinstance(event, Progress):
            self._told[event.stage, event.shard_id] += event.audio_ms
            self.done_ms[event.stage] += event.audio_ms
        elif isinstance(event, TaskDone):
            result = event.result
            told = self._told.pop((result.stage, result.shard_id), 0)
            self.done_ms[result.stage] += result.audio_ms - told
            seconds, audio_ms = self._measured.get(result.stage, (0.0, 0))
            seconds, audio_ms = seconds + result.cpu_seconds, audio_ms + result.audio_ms
            self._measured[result.stage] = seconds, audio_ms
            if audio_ms:
                self._rates[result.stage] = seconds / audio_ms

    @property
    def audio_ms(self) -> int:
        """The audio that there is something to do for."""
        return max(self.total_ms.values(), default=0)

    @property
    def share(self) -> float:
        """How much of the work is done, 0 to 1."""
        total = sum(self._rates[stage] * ms for stage, ms in self.total_ms.items())
        done = sum(self._rates[stage] * self.done_ms[stage] for stage in self.total_ms)
        return min(done / total, 1.0) if total else 0.0

    def seconds_left(self, elapsed: float) -> float | None:
        """Return how long the rest will take, if it goes on as in `elapsed` seconds until now.

        None as long as nothing is done.
        """
        share = self.share
        return elapsed * (1 - share) / share if share > 0 else None


def _rate(stage: str, audio_ms: int, cost: Cost | None) -> float:
    """Return CPU seconds per ms of audio, of a cost that is for `audio_ms`."""
    if cost is not None and cost.cpu_hours is not None and audio_ms:
        return cost.cpu_hours * 3600 / audio_ms
    return TYPICAL.get(stage, TYPICAL_OF_OTHERS) / 1000
