"""What is learnt as one piece: two token streams, where the loss counts, and the sounds in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wavemill.model.data.corpus import Sound
from wavemill.model.prompt.layout import Layout, shifted


@dataclass(frozen=True)
class Document:
    """A sequence that attends to itself alone; arrays are (positions,)."""

    id: str
    task: str
    audio_ids: np.ndarray  # int64
    text_ids: np.ndarray  # int64
    continuous: np.ndarray  # bool: acoustic features are added, a run per sound
    # What each stream is to predict at a position, int64, and whether the loss counts it, bool.
    audio_labels: np.ndarray
    text_labels: np.ndarray
    audio_counts: np.ndarray
    text_counts: np.ndarray
    sounds: tuple[Sound, ...]  # of the runs of `continuous`, in order
    turn: int = 0  # which time through the data this is: augmentation draws anew each time

    def __len__(self) -> int:
        return len(self.audio_ids)

    def unlearnt(self) -> Document:
        """Return a document of the same length of which nothing is heard, and nothing learnt."""
        nothing = np.zeros(len(self), bool)
        return replace(
            self, continuous=nothing, audio_counts=nothing, text_counts=nothing, sounds=()
        )

    @property
    def learnt(self) -> int:
        """Return how many positions the loss counts, in both streams."""
        return int(self.audio_counts.sum() + self.text_counts.sum())


def document(
    name: str, task: str, layout: Layout, sounds: Sequence[Sound], pad: int, turn: int = 0
) -> Document:
    """Return the document of a layout; position p predicts p + 1 (docs/published-format.md)."""
    audio_labels, audio_counts = shifted(layout.audio_ids, layout.audio_learnt, pad)
    text_labels, text_counts = shifted(layout.text_ids, layout.text_learnt, pad)
    return Document(
        id=name,
        task=task,
        audio_ids=np.array(layout.audio_ids, np.int64),
        text_ids=np.array(layout.text_ids, np.int64),
        continuous=np.array(layout.continuous, bool),
        audio_labels=np.array(audio_labels, np.int64),
        text_labels=np.array(text_labels, np.int64),
        audio_counts=np.array(audio_counts, bool),
        text_counts=np.array(text_counts, bool),
        sounds=tuple(sounds),
        turn=turn,
    )
