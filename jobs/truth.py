"""How `--truth` shows the scores of a snapshot."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from wavemill.jobs.plain import Terminal
from wavemill.pipeline.snapshots import Snapshot
from wavemill.pipeline.store import Store
from wavemill.pipeline.truth import TruthScore, load_truth, read_segments, score_segments


def format_truth(score: TruthScore) -> list[tuple[str, str]]:
    """Return rows (what, figure) for the summary."""
    words, speakers = score.words, score.speakers
    rows = [
        (
            "word error rate",
            f"{words.rate:.1%} of {words.words} words ({words.substitutions} substituted, "
            f"{words.deletions} deleted, {words.insertions} inserted)",
        ),
        (
            "speaker confusion",
            f"{speakers.confusion_of_detected:.1%} of detected speech "
            f"({speakers.confusion:.1%} of all)",
        ),
        ("missed speech", f"{speakers.missed_share:.1%} of {speakers.speech:.0f} s"),
        ("false alarm", f"{speakers.false_alarm_share:.1%}"),
    ]
    if score.absent:
        rows.append(("nothing heard in", ", ".join(score.absent)))
    return rows


def print_truth(console: Terminal, store: Store, snapshot: Snapshot, folder: Path) -> None:
    """Score a snapshot against the truth in `folder` and print the figures. Raises TruthError."""
    score = score_segments(read_segments(store, snapshot), load_truth(folder))
    title = f"Against the truth of {score.recordings} recordings"
    table = Table(title=title, title_justify="left", show_header=False)
    for row in format_truth(score):
        table.add_row(*row)
    console.print(table)
