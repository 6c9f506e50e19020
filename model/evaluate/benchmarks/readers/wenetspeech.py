"""WenetSpeech: WenetSpeech.json, which names long recordings and the segments in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem
from wavemill.model.evaluate.benchmarks.readers.layout import Cut, SourceError, found

TABLE = "WenetSpeech.json"
PIECE = 1 << 20  # characters read at once: the table has several gigabytes


def read(source: Path, subset: str, cut: Cut) -> Iterator[BenchmarkItem]:
    """`subset` is TEST_NET, TEST_MEETING or DEV; `source` holds the table and audio/."""
    table = found(source, (TABLE, f"untar/{TABLE}"), "WenetSpeech's table")
    for audio in objects_in(table, "audios"):
        try:
            segments = [s for s in audio["segments"] if subset in s["subsets"]]
            if segments:
                path = found(table.parent, (audio["path"],), f"named in {TABLE}")
            for segment in segments:
                sound = cut(path, float(segment["begin_time"]), float(segment["end_time"]))
                references = (segment["text"],)
                yield BenchmarkItem(segment["sid"], sound, references=references, language="zh")
        except (KeyError, TypeError) as error:
            where = audio.get("aid", "?") if isinstance(audio, dict) else "?"
            raise SourceError(f"{table}: recording {where}: there is no {error}") from None


def objects_in(path: Path, key: str) -> Iterator[Any]:
    """Yield the elements of the list that stands under `key` in a JSON file of any size."""
    decoder = json.JSONDecoder()
    with path.open(encoding="utf-8") as file:
        text, mark = "", f'"{key}"'
        while (at := text.find(mark)) < 0 or (start := text.find("[", at)) < 0:
            piece = file.read(PIECE)
            if not piece:
                raise SourceError(f"{path}: there is no list {key!r}")
            text += piece
        text = text[start + 1 :]
        while True:
            text = text.lstrip(" \t\r\n,")
            if text.startswith("]"):
                return
            try:
                value, end = decoder.raw_decode(text)
                # A number may go on in the next piece; objects and lists end by themselves.
            except ValueError:
                piece = file.read(PIECE)
                if not piece:
                    raise SourceError(f"{path} ends in the middle of {key!r}") from None
                text += piece
                continue
            yield value
            text = text[end:]
