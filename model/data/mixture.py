"""How often each data set of a corpus is learnt: epochs of its own, or a share of the whole."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wavemill.model.data.corpus import Conversation

REST = ""  # name of what no data set of a recipe claims


class DataSet(BaseModel):
    """Rows of the corpus `sft`, and how often they are learnt; the first that fits has a row."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    task: str | None = None  # of its rows; null: any
    source: str = "*"  # URI of the recording, with * and ?
    epochs: float | None = Field(None, gt=0)
    weight: float | None = Field(None, gt=0)  # instead: its share of the positions, with the others

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.epochs is None) == (self.weight is None):
            raise ValueError(f"data set {self.name!r}: give epochs, or weight")
        return self

    def has(self, row: Conversation) -> bool:
        return self.task in (None, row.task) and fnmatchcase(row.source, self.source)


def owner(sets: Sequence[DataSet], row: Conversation) -> str:
    """Return the name of a row's data set; REST if no one has it."""
    return next((one.name for one in sets if one.has(row)), REST)


@dataclass(frozen=True)
class Mixture:
    """Which rows a pass over the corpus takes, so that a data set comes as often as it should.

    There are as many passes as the data set with most epochs has. A row of one with fewer takes
    part in some of them, spread evenly; which ones depends on its id.
    """

    sets: tuple[DataSet, ...]
    epochs: Mapping[str, float]  # of each data set, and of REST
    seed: int

    @classmethod
    def of(
        cls, sets: Sequence[DataSet], epochs: float, positions: Mapping[str, int], seed: int
    ) -> Mixture:
        """Return the mixture of a recipe.

        `epochs` are those of rows that no data set has; with weights these are left out, and
        `epochs` of all positions of the data sets are shared out. `positions` are those of an
        epoch of each data set.
        """
        found = {one.name: one.epochs for one in sets if one.epochs is not None}
        if found:
            return cls(tuple(sets), {**found, REST: epochs}, seed)
        weights = {one.name: one.weight or 0.0 for one in sets if positions.get(one.name)}
        whole = epochs * sum(positions[name] for name in weights)
        total = sum(weights.values())
        shared = {name: whole * w / total / positions[name] for name, w in weights.items()}
        return cls(tuple(sets), {**shared, REST: 0.0}, seed)

    @property
    def passes(self) -> float:
        return max(self.epochs.values())

    def total(self, positions: Mapping[str, int]) -> int:
        """Return the positions of all epochs of all data sets."""
        return round(sum(self.epochs.get(name, 0.0) * count for name, count in positions.items()))

    def takes(self, row: Conversation, number: int) -> bool:
        """Return whether a pass, counted from 0, takes a row."""
        share = self.epochs.get(owner(self.sets, row), 0.0) / self.passes
        digest = hashlib.sha256(f"{self.seed} {row.sample_id}".encode()).digest()
        phase = int.from_bytes(digest[:6], "big") / 2**48
        # A little above, so that rounding does not lose a row whose share is 1.
        before, after = (math.floor(share * n + phase + 1e-9) for n in (number, number + 1))
        return after > before
