"""Two tracks for full-duplex models: the assistant on the left, the user on the right."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavemill.pipeline.export.format import Folder, Format, Row
from wavemill.stages.audio.flac import decode_flac
from wavemill.stages.audio.resample import resample
from wavemill.stages.speak.silence import speech_bounds

GAP_S = 0.3  # between one's last word and the other's first
EDGE_DB = -45.0  # below the loudest 10 ms: no word
SPEAKERS = {"assistant": "SPEAKER_MAIN", "user": "SPEAKER_USER"}
SIDES = {"assistant": 0, "user": 1}


class Stereo(Format):
    """A line has path and duration, as moshi-finetune reads them, with a transcript beside.

    `PATH.json` has `alignments`: [word, [start, end], speaker] in seconds. The times of messages
    are exact; words share the speech of their message by their letters, since no speaker tells
    when it says which.
    """

    name = "stereo"
    title = "two tracks (left assistant, right user) with a timed transcript, for moshi-finetune"
    corpora = ("sft_spoken",)
    dropped = "semantic tokens, metadata, and conversations that are not spoken on both sides"

    def lines(self, row: Row, folder: Folder) -> Iterator[dict[str, Any]]:
        messages = row["messages"]
        if any(message["kind"] != "audio" for message in messages):
            return
        texts = [said["text"] for said in json.loads(row["metadata"])["spoken"]]
        clips = [decode_flac(message["audio"]["bytes"]) for message in messages]
        rate = max(rate for _, rate in clips)
        tracks, alignments = _placed(
            [(m["role"], t) for m, t in zip(messages, texts, strict=True)],
            [resample(samples, own, rate) for samples, own in clips],
            rate,
        )
        path = folder.write_samples(row["sample_id"], tracks, rate)
        transcript = {"alignments": alignments}
        folder.write_text(f"{row['sample_id']}.json", json.dumps(transcript, ensure_ascii=False))
        yield {"path": path, "duration": round(len(tracks) / rate, 3)}


def _placed(
    said: Sequence[tuple[str, str]], clips: Sequence[NDArray[np.float32]], rate: int
) -> tuple[NDArray[np.float32], list[list[Any]]]:
    """Return float32 (samples, 2), and the alignments of all words in order."""
    gap = round(GAP_S * rate)
    starts, spoken, at = [], [], 0
    for clip in clips:
        first, last = speech_bounds(clip, rate, EDGE_DB)
        start = max(0, at - first)  # silence around the speech takes part in the gap
        starts.append(start)
        spoken.append((start + first, start + last))
        at = start + last + gap
    length = max(start + len(clip) for start, clip in zip(starts, clips, strict=True))
    tracks = np.zeros((length, 2), np.float32)
    alignments: list[list[Any]] = []
    for (role, text), clip, start, bounds in zip(said, clips, starts, spoken, strict=True):
        tracks[start : start + len(clip), SIDES[role]] += clip
        alignments += _words(text, bounds, rate, SPEAKERS[role])
    return tracks, alignments


def _words(text: str, bounds: tuple[int, int], rate: int, speaker: str) -> list[list[Any]]:
    words = text.split()
    ends = np.cumsum([len(word) + 1 for word in words])
    first, last = bounds[0] / rate, bounds[1] / rate
    times = first + (last - first) * np.concatenate([[0], ends]) / max(1, int(ends[-1]))
    return [
        [word, [round(float(start), 3), round(float(end), 3)], speaker]
        for word, start, end in zip(words, times[:-1], times[1:], strict=True)
    ]
