"""The items of a benchmark: a Parquet file with its audio, or JSONL lines that name audio files.

Columns, or keys of a line (only `item_id` and one of `audio` and `question` are required):

    item_id     string, unique in the file
    audio       Parquet: struct of `bytes` (a WAV, FLAC, OGG or MP3 file) and `path` (its name);
                JSONL: the path of such a file, relative to the JSONL file or absolute
    question    string: the question in words, or the transcript of a spoken question, which
                scorers see and the model never does
    options     list of strings, in the order shown (the first is A)
    references  list of strings: gold transcript, answers, letter or label
    language    ISO 639 code; "en" where it is left out
    speaker     string: who speaks, for scores by speaker
    source      string: where the audio comes from, for people
    recording_id  string: first 32 hex digits of the SHA-256 of the recording, as in a corpus;
                shows whether a model was trained on it
    details     JSON object (in Parquet its text): fields that only some scorers need
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROWS_AT_ONCE = 32  # of a row group, whose audio is in memory at once
AUDIO = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
SCHEMA = pa.schema(
    [
        pa.field("item_id", pa.string(), False),
        pa.field("audio", AUDIO),
        pa.field("question", pa.string()),
        pa.field("options", pa.list_(pa.string())),
        pa.field("references", pa.list_(pa.string())),
        pa.field("language", pa.string()),
        pa.field("speaker", pa.string()),
        pa.field("source", pa.string()),
        pa.field("recording_id", pa.string()),
        pa.field("details", pa.string()),
    ],
    # The `datasets` library reads this and shows `audio` as an Audio column.
    metadata={"huggingface": json.dumps({"info": {"features": {"audio": {"_type": "Audio"}}}})},
)
_KEYS = frozenset(SCHEMA.names)
ABOUT = ("speaker", "source", "recording_id")  # about the audio; a model never sees them


class ItemsError(ValueError):
    """A file of items cannot be used; names the file, the line or column, and the remedy."""


@dataclass(frozen=True)
class BenchmarkItem:
    """One question to a model, with the right answers."""

    item_id: str
    audio: bytes | None = None  # the content of an audio file
    question: str | None = None
    options: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    language: str = "en"
    details: Mapping[str, Any] = field(default_factory=dict)
    speaker: str | None = None
    source: str | None = None
    recording_id: str | None = None


class Items:
    """A file of items, read a few at a time. Raises ItemsError, also while it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.ids = tuple(self._ids())
        except OSError as error:
            raise ItemsError(f"cannot read {path}: {error.strerror or error}") from None
        seen: set[str] = set()
        for item_id in self.ids:
            if item_id in seen:
                raise ItemsError(f"{path}: two items are called {item_id!r}; make ids unique")
            seen.add(item_id)
        if not seen:
            raise ItemsError(f"{path} has no items")

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, skip: Collection[str] = (), sound: bool = True) -> Iterator[BenchmarkItem]:
        """Yield the items in order, except those whose ids are in `skip`.

        `sound` False leaves `audio` out, which is fast.
        """
        reading = self._lines() if self._is_jsonl else self._rows(skip, sound)
        for values in reading:
            if values["item_id"] not in skip:
                yield self._item(values if sound else {**values, "audio": None})

    def digest(self) -> str:
        """Return the SHA-256 (hex) of the file, which for JSONL does not cover the audio files."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def _is_jsonl(self) -> bool:
        return self.path.suffix in (".jsonl", ".json")

    def _ids(self) -> Iterator[str]:
        if self._is_jsonl:
            yield from (values["item_id"] for values in self._lines())
            return
        with self._parquet() as file:
            yield from file.read(columns=["item_id"])["item_id"].to_pylist()

    def _parquet(self) -> pq.ParquetFile:
        try:
            file = pq.ParquetFile(self.path)
        except pa.ArrowInvalid as error:
            raise ItemsError(f"{self.path} is not a Parquet file: {error}") from None
        if "item_id" not in file.schema_arrow.names:
            raise ItemsError(f"{self.path} has no column 'item_id': it is not a file of items")
        return file

    def _rows(self, skip: Collection[str], sound: bool) -> Iterator[dict[str, Any]]:
        with self._parquet() as file:
            place = 0
            columns = [name for name in SCHEMA.names if name in file.schema_arrow.names]
            if not sound:
                columns = [name for name in columns if name != "audio"]
            for group in range(file.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                wanted = not all(i in skip for i in self.ids[place : place + count])
                place += count
                if wanted:
                    yield from file.read_row_group(group, columns=columns).to_pylist()

    def _lines(self) -> Iterator[dict[str, Any]]:
        with self.path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                place = f"{self.path}, line {number}"
                try:
                    values = json.loads(line)
                except ValueError as error:
                    raise ItemsError(f"{place} is not JSON: {error}") from None
                if not isinstance(values, dict) or not isinstance(values.get("item_id"), str):
                    raise ItemsError(f"{place}: needs a string 'item_id'")
                if unknown := sorted(values.keys() - _KEYS):
                    raise ItemsError(
                        f"{place}: there is no key {unknown[0]!r}; what else is known of an item "
                        "goes into 'details'"
                    )
                yield values

    def _item(self, values: Mapping[str, Any]) -> BenchmarkItem:
        item_id = values["item_id"]
        details = values.get("details") or {}
        try:
            return BenchmarkItem(
                item_id=item_id,
                audio=self._sound(values.get("audio")),
                question=values.get("question"),
                options=_texts(values.get("options")),
                references=_texts(values.get("references")),
                language=values.get("language") or "en",
                **{name: _text(values.get(name), name) for name in ABOUT},
                details=json.loads(details) if isinstance(details, str) else details,
            )
        except (OSError, ValueError, TypeError) as error:
            raise ItemsError(f"{self.path}: item {item_id!r}: {error}") from None

    def _sound(self, audio: Any) -> bytes | None:
        if isinstance(audio, Mapping):
            if audio.get("bytes") is not None:
                return bytes(audio["bytes"])
            audio = audio.get("path")
        return None if audio is None else (self.path.parent / str(audio)).read_bytes()


def _text(value: Any, name: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"'{name}' is a string")
    return value


def _texts(values: Any) -> tuple[str, ...]:
    if values is None:
        return ()
    if isinstance(values, str) or not all(isinstance(value, str) for value in values):
        raise TypeError("'options' and 'references' are lists of strings")
    return tuple(values)


def write_items(path: Path, items: Iterable[BenchmarkItem]) -> int:
    """Write items with their audio to a Parquet file, atomically; return how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    count = 0
    try:
        with pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
            rows: list[dict[str, Any]] = []
            for item in items:
                rows.append(_row(item))
                count += 1
                if len(rows) == ROWS_AT_ONCE:
                    writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
                    rows = []
            if rows:
                writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _row(item: BenchmarkItem) -> dict[str, Any]:
    name = f"{item.item_id}.{_ending(item.audio)}" if item.audio else None
    return {
        "item_id": item.item_id,
        "audio": {"bytes": item.audio, "path": name} if item.audio else None,
        "question": item.question,
        "options": list(item.options),
        "references": list(item.references),
        "language": item.language,
        **{name: getattr(item, name) for name in ABOUT},
        "details": json.dumps(dict(item.details), ensure_ascii=False, sort_keys=True),
    }


def _ending(content: bytes) -> str:
    marks = {b"fLaC": "flac", b"RIFF": "wav", b"OggS": "ogg"}
    return marks.get(content[:4], "mp3")
