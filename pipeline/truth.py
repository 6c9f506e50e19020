"""How far a build is from the truth, where truth is known: word errors and speaker confusion.

A folder of truth holds `transcripts.jsonl`, one line per recording:

    {"recording": "call.flac",
     "turns": [{"speaker": "anna", "start": 0.7, "end": 1.43, "text": "Good morning."}]}

with times in seconds; a recording without speech has no turns, so that what is heard in it counts.
Recordings are matched by file name. Segments count whether the filter keeps them or not.
Needs the extra `evaluate` (jiwer, pyannote.metrics).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from wavemill.manifests.uri import base_name
from wavemill.pipeline.config import ConfigError
from wavemill.pipeline.memory_database import memory_database
from wavemill.pipeline.snapshots import Snapshot
from wavemill.pipeline.store import Store
from wavemill.pipeline.summary import stage_files
from wavemill.stages.text import normalize

TRANSCRIPTS = "transcripts.jsonl"
_RECORDINGS = pa.schema([("recording_id", pa.string()), ("uri", pa.string())])
_DIARIZED = pa.schema(
    [(name, pa.string()) for name in ("recording_id", "segment_id", "speaker")]
    + [("track", pa.int16()), ("start_ms", pa.int64()), ("end_ms", pa.int64())]
)
_TRANSCRIBED = pa.schema([("segment_id", pa.string()), ("text", pa.string())])
SEGMENT_COLUMNS = ("source", "start_ms", "end_ms", "speaker", "text")
INSTALL = "pip install 'wavemill[evaluate]'"


class TruthError(ConfigError):
    """The truth cannot be used: one sentence that names the file, the field or the package."""


@dataclass(frozen=True, slots=True, order=True)
class Turn:
    """One stretch of speech of one speaker; times in milliseconds of the recording."""

    start_ms: int
    end_ms: int
    speaker: str
    text: str


@dataclass(frozen=True)
class Truth:
    """The turns of each recording in time order, by file name."""

    turns: Mapping[str, tuple[Turn, ...]]

    @property
    def text(self) -> dict[str, str]:
        """The words of each recording, in time order."""
        return {name: joined_text(turns) for name, turns in self.turns.items()}


@dataclass(frozen=True)
class WordErrors:
    """Counts over all recordings; `words` is the length of the truth."""

    substitutions: int
    deletions: int
    insertions: int
    words: int

    @property
    def rate(self) -> float:
        """Word error rate; infinite where the truth has no word and the hypothesis has."""
        return _share(self.substitutions + self.deletions + self.insertions, self.words)


@dataclass(frozen=True)
class SpeakerErrors:
    """Seconds over all recordings, parts where several speakers talk at once left out."""

    speech: float  # in the truth: missed + confused + correct
    missed: float
    false_alarm: float
    confused: float
    correct: float

    @property
    def missed_share(self) -> float:
        return _share(self.missed, self.speech)

    @property
    def false_alarm_share(self) -> float:
        return _share(self.false_alarm, self.speech)

    @property
    def confusion(self) -> float:
        """As a share of the speech in the truth."""
        return _share(self.confused, self.speech)

    @property
    def confusion_of_detected(self) -> float:
        """As a share of the speech that was found, so that missing speech does not pay."""
        return _share(self.confused, self.confused + self.correct)


@dataclass(frozen=True)
class TruthScore:
    recordings: int  # with truth
    absent: tuple[str, ...]  # with truth but without a segment, though somebody speaks
    words: WordErrors
    speakers: SpeakerErrors


def load_truth(folder: Path) -> Truth:
    """Read the truth of a folder; raises TruthError naming the file and the line."""
    path = folder / TRANSCRIPTS
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise TruthError(f"truth: cannot read {path}: {error.strerror}") from error
    turns: dict[str, tuple[Turn, ...]] = {}
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            turns[row["recording"]] = tuple(sorted(_turn(turn) for turn in row["turns"]))
        except (ValueError, KeyError, TypeError) as error:
            raise TruthError(f"truth: {path}:{number}: {type(error).__name__} {error}") from error
    return Truth(turns)


def word_error_rate(truth: Mapping[str, str], hypothesis: Mapping[str, str]) -> WordErrors:
    """Count word errors per recording, over text that `stages.text.normalize` made comparable.

    A recording without a hypothesis is all deletions; one without truth is left out. Raises
    TruthError where jiwer is not installed.
    """
    try:
        import jiwer
    except ImportError as error:
        raise TruthError(f"truth: jiwer is not installed: {INSTALL}") from error
    names = sorted(truth)
    if not names:
        return WordErrors(0, 0, 0, 0)
    found = jiwer.process_words(
        [normalize(truth[name]) for name in names],
        [normalize(hypothesis.get(name, "")) for name in names],
    )
    words = found.hits + found.substitutions + found.deletions
    return WordErrors(found.substitutions, found.deletions, found.insertions, words)


def speaker_confusion(truth: Truth, hypothesis: Mapping[str, Iterable[Turn]]) -> SpeakerErrors:
    """Compare who speaks when, with the best one-to-one naming of speakers in each recording.

    No collar; overlapping speech of the truth is skipped. A recording without a hypothesis is
    all missed. Raises TruthError where pyannote.metrics is not installed.
    """
    try:
        from pyannote.core import Segment, Timeline
        from pyannote.metrics.diarization import DiarizationErrorRate
    except ImportError as error:
        raise TruthError(f"truth: pyannote.metrics is not installed: {INSTALL}") from error
    metric = DiarizationErrorRate(collar=0.0, skip_overlap=True)
    for name, turns in sorted(truth.turns.items()):
        said, heard = _annotation(name, turns), _annotation(name, hypothesis.get(name, ()))
        ends = (segment.end for which in (said, heard) for segment in which.itersegments())
        extent = max(ends, default=0.0)
        if extent > 0:
            metric(said, heard, uem=Timeline([Segment(0.0, extent)]))
    parts = {key: float(value) for key, value in metric.accumulated_.items()}
    return SpeakerErrors(
        speech=parts["total"],
        missed=parts["missed detection"],
        false_alarm=parts["false alarm"],
        confused=parts["confusion"],
        correct=parts["correct"],
    )


def score_segments(segments: pa.Table, truth: Truth) -> TruthScore:
    """Score all segments of a build, kept or not.

    `segments` has source (string, uri of the recording), start_ms, end_ms (int64, milliseconds),
    speaker and text (string, may be null). Segments of recordings without truth are left out.
    Raises TruthError where two recordings share a file name that has truth.
    """
    turns = _turns_by_recording(segments, truth)
    text = {name: joined_text(found) for name, found in turns.items()}
    absent = tuple(name for name, said in truth.turns.items() if said and name not in turns)
    return TruthScore(
        recordings=len(truth.turns),
        absent=absent,
        words=word_error_rate(truth.text, text),
        speakers=speaker_confusion(truth, turns),
    )


def read_segments(store: Store, snapshot: Snapshot) -> pa.Table:
    """Return the segments of a snapshot as `score_segments` takes them, kept or not.

    A segment that was not transcribed has a null text.
    """
    diarized, transcribed = stage_files(store, snapshot, "diarize", "transcribe")
    if not diarized or not transcribed:
        return pa.table({name: [] for name in SEGMENT_COLUMNS})
    recordings = [f"{snapshot.folder}/recordings.parquet"]
    with memory_database() as database:
        store.view(database, "r", recordings, _RECORDINGS)
        store.view(database, "d", diarized, _DIARIZED)
        store.view(database, "t", transcribed, _TRANSCRIBED)
        return database.sql(
            "select r.uri as source, d.start_ms, d.end_ms, d.speaker, t.text"
            " from d join r using (recording_id) left join t using (segment_id)"
            " order by source, d.start_ms, d.end_ms, d.track"
        ).to_arrow_table()


def joined_text(turns: Iterable[Turn]) -> str:
    """The text of turns in time order, in one line."""
    return " ".join(turn.text for turn in sorted(turns) if turn.text)


def _share(part: float, whole: float) -> float:
    if whole == 0:
        return 0.0 if part == 0 else float("inf")
    return part / whole


def _turn(row: Mapping[str, object]) -> Turn:
    start, end = (round(float(str(row[key])) * 1000) for key in ("start", "end"))
    if not 0 <= start < end:
        raise ValueError(f"a turn from {row['start']} to {row['end']} s")
    return Turn(start, end, str(row["speaker"]), str(row["text"]))


def _turns_by_recording(segments: pa.Table, truth: Truth) -> dict[str, list[Turn]]:
    sources: dict[str, str] = {}
    turns: dict[str, list[Turn]] = {}
    for row in segments.select(SEGMENT_COLUMNS).to_pylist():
        name = base_name(row["source"])
        if name not in truth.turns:
            continue
        if sources.setdefault(name, row["source"]) != row["source"]:
            raise TruthError(f"truth: {row['source']} and {sources[name]} have the same name")
        turn = Turn(row["start_ms"], row["end_ms"], row["speaker"], row["text"] or "")
        turns.setdefault(name, []).append(turn)
    return turns


def _annotation(name: str, turns: Iterable[Turn]):  # type: ignore[no-untyped-def]
    """A pyannote Annotation; overlapping turns of one speaker count once."""
    from pyannote.core import Annotation, Segment

    annotation = Annotation(uri=name)
    for number, turn in enumerate(turns):
        annotation[Segment(turn.start_ms / 1000, turn.end_ms / 1000), number] = turn.speaker
    return annotation.support()
