"""Small corpora with the schemas of `pipeline/corpora`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from wavemill.pipeline.curation import all_schemas

RATE = 16_000
CODES = 64  # size of the codebook that the tokens are of


def sound(seed: int, tokens: int) -> tuple[bytes, list[int]]:
    """Return FLAC of a tone in noise, and codes, of `tokens` times 80 ms."""
    rng = np.random.default_rng(seed)
    at = np.arange(tokens * 1280) / RATE
    wave = 0.3 * np.sin(2 * np.pi * (200 + 50 * (seed % 20)) * at) + 0.01 * rng.standard_normal(
        len(at)
    )
    file = io.BytesIO()
    soundfile.write(file, wave, RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue(), rng.integers(0, CODES, tokens).tolist()


def segment_row(recording: int, index: int, text: str = "", **changes: Any) -> dict[str, Any]:
    """Return a row of `pretrain`."""
    tokens = 3 + (recording + index) % 5
    data, codes = sound(recording * 100 + index, tokens)
    start = index * 1000
    row: dict[str, Any] = dict.fromkeys(all_schemas()["pretrain"].names)
    row |= {
        "recording_id": f"r{recording}",
        "segment_id": f"r{recording}-{index}",
        "segment_index": index,
        "source": f"file:///r{recording}.wav",
        "start_ms": start,
        "end_ms": start + 80 * tokens,
        "duration": 0.08 * tokens,
        "speaker": "one",
        "language": "en",
        "text": text or f"word {recording} {index}",
        "text_source": "asr",
        "audio": {"bytes": data, "path": "x.flac"},
        "sample_rate": RATE,
        "audio_version": "original",
        "semantic_tokens": codes,
        "text_tokens": [1, 2],
        "metadata": "{}",
        "lineage_id": "l",
    }
    return row | changes


def conversation_row(number: int, answer: str = "", **changes: Any) -> dict[str, Any]:
    """Return a row of `sft`: instruction, audio, answer."""
    data, codes = sound(number, 3 + number % 5)
    empty = {"text": None, "audio": None, "semantic_tokens": None}
    messages = [
        {"role": "user", "kind": "text", **empty, "text": "write down"},
        {"role": "user", "kind": "audio", **empty, "audio": {"bytes": data, "path": "x"},
         "semantic_tokens": codes},
        {"role": "assistant", "kind": "text", **empty, "text": answer or f"n{number}"},
    ]  # fmt: skip
    row = {
        "sample_id": f"s{number}", "recording_id": f"r{number}", "task": "asr",
        "source": "file:///x.wav", "language": "en", "license": None, "split": None,
        "messages": messages, "metadata": "{}",
        "lineage_id": "l",
    }  # fmt: skip
    return row | changes


def write(
    folder: Path,
    corpus: str,
    files: list[list[dict[str, Any]]],
    group: int = 4,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a corpus into a WORKDIR `folder`, one Parquet file per list of rows."""
    schema = all_schemas()[corpus]
    metadata = metadata or {
        "semantic_tokenizer": "kmeans test",
        "semantic_vocab_size": str(CODES),
        "text_tokenizer": "whisper_bpe test",
    }
    place = folder / "corpus" / corpus
    place.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(files):
        table = pa.Table.from_pylist(rows, schema.with_metadata(metadata))
        pq.write_table(table, place / f"{number:03}.parquet", row_group_size=group)
    return folder


def spoken_row(number: int, answer: str = "", **changes: Any) -> dict[str, Any]:
    """Return a row of `sft_spoken`: a question as sound, its answer as text and sound."""
    asked, answered = sound(number, 3 + number % 5), sound(500 + number, 4 + number % 3)
    messages = [
        {"role": role, "kind": "audio", "text": text, "audio": {"bytes": data, "path": "x.flac"},
         "semantic_tokens": codes}
        for role, text, (data, codes) in (
            ("user", None, asked), ("assistant", answer or f"n{number}", answered)
        )
    ]  # fmt: skip
    row = conversation_row(number, answer, task="conversation", speaker="anna", messages=messages)
    return row | changes
