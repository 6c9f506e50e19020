"""MELD: SPLIT_sent_emo.csv and the folder of mp4 files that belongs to it.

Utterances that last over 30 s by their times are left out, as the published scores do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wavemill.model.evaluate.benchmarks.items import BenchmarkItem
from wavemill.model.evaluate.benchmarks.readers.layout import Cut, SourceError, found, rows_of_csv

COLUMNS = ("Utterance", "Emotion", "Dialogue_ID", "Utterance_ID", "StartTime", "EndTime")
VIDEOS = {
    "test": "output_repeated_splits_test",
    "dev": "dev_splits_complete",
    "train": "train_splits",
}
LONGEST_S = 30.0


def read(source: Path, subset: str, cut: Cut) -> Iterator[BenchmarkItem]:
    """`subset` is test, dev or train; `source` holds the table and the unpacked videos."""
    if subset not in VIDEOS:
        raise SourceError(f"MELD has no split {subset!r}; there are {', '.join(VIDEOS)}")
    name = f"{subset}_sent_emo.csv"
    table = found(source, (name, f"data/MELD/{name}", f"MELD.Raw/{name}"), "MELD's table")
    folder = VIDEOS[subset]
    places = (folder, f"MELD.Raw/{folder}", f"{subset}/{folder}", f"MELD.Raw/{subset}/{folder}")
    videos = found(source, places, f"unpack MELD.Raw.tar.gz and {subset}.tar.gz in it")
    for row in rows_of_csv(table, COLUMNS):
        if _seconds(row["EndTime"]) - _seconds(row["StartTime"]) > LONGEST_S:
            continue
        item_id = f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"
        video = found(videos, (f"{item_id}.mp4",), f"named in {name}")
        details = {"utterance": row["Utterance"]}
        sound = cut(video, 0.0, None)
        yield BenchmarkItem(item_id, sound, references=(row["Emotion"],), details=details)


def _seconds(time: str) -> float:
    """Read 00:16:16,059."""
    try:
        hours, minutes, seconds = time.strip().replace(",", ".").split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        raise SourceError(f"MELD's table has a time {time!r}, which is not 00:16:16,059") from None
