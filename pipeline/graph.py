"""Stages and how they hang together; from them, the fingerprint of everything that is built."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa

from wavemill.pipeline.digest import digest_of
from wavemill.stages.recording_stage import Division, RecordingStage


@dataclass(frozen=True)
class ConfiguredStage:
    """A stage with its settings: what the build has to know of it.

    `parameters` are JSON values and hold everything that determines the output: engine, its
    version and parameters, the identity of its weights, settings.
    """

    name: str
    version: int
    inputs: tuple[str, ...]
    schema: pa.Schema
    parameters: Mapping[str, Any]
    build: Callable[[str], RecordingStage]  # device -> the stage, engine loaded
    reads_labels: bool = False  # its output depends on labels of the manifest, not on ids only
    selected_by: str | None = None  # works on the rows that this stage marks `kept`; adds to them
    corpus: bool = False  # its tables are a product: they stand in every snapshot
    labelled_only: bool = False  # has nothing to say about shards without labelled recordings
    written: bool = False  # works on written conversations; other stages on what has sound
    needs_worker: bool = False  # its work may crash a process: a model runs, or audio is decoded
    file_metadata: Mapping[str, str] = field(default_factory=dict)
    check: Callable[[], None] | None = None  # raises, without loading, if `build` cannot work
    division: Division | None = None  # of the work on a long recording; None: one worker's

    @property
    def upstream(self) -> frozenset[str]:
        """The stages that have to be finished before it: its inputs, and what selects its rows."""
        return frozenset([*self.inputs, *([self.selected_by] if self.selected_by else [])])


class Graph:
    """Stages in an order in which each comes after its inputs."""

    def __init__(self, stages: Iterable[ConfiguredStage]) -> None:
        """Raises ValueError for stages that do not fit together.

        That is: a repeated name, an input that is not an earlier stage, and a stage that no
        corpus needs, since nothing would keep what it makes.
        """
        self.stages: dict[str, ConfiguredStage] = {}
        for stage in stages:
            if stage.name in self.stages:
                raise ValueError(f"stage {stage.name!r} is registered twice")
            if missing := stage.upstream - self.stages.keys():
                raise ValueError(
                    f"stage {stage.name!r} needs {sorted(missing)}, not earlier stages"
                )
            self.stages[stage.name] = stage
        self._check_all_are_needed()

    def _check_all_are_needed(self) -> None:
        needed = {
            name for corpus in self.corpora for name in (corpus.name, *self.ancestors(corpus.name))
        }
        if unread := [name for name in self.stages if name not in needed]:
            raise ValueError(
                f"no corpus needs stage {unread[0]!r}, so nothing would read what it makes: "
                "name it in the inputs of a corpus or of a stage that a corpus needs"
            )

    @property
    def corpora(self) -> tuple[ConfiguredStage, ...]:
        """What the build is for."""
        return tuple(stage for stage in self.stages.values() if stage.corpus)

    @cached_property
    def selecting(self) -> frozenset[str]:
        """Stages that select the rows on which other stages work."""
        return frozenset(s.selected_by for s in self.stages.values() if s.selected_by is not None)

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Per stage: hash of its name, version, parameters and the fingerprints of its inputs.

        The other half of an output's identity is the shard's digest, in the file's name. The stage
        by which one is `selected_by` does not enter: which rows exist never changes their values.
        """
        found: dict[str, str] = {}
        for stage in self.stages.values():
            found[stage.name] = digest_of(
                {
                    "stage": stage.name,
                    "version": stage.version,
                    "parameters": dict(stage.parameters),
                    "upstream": {name: found[name] for name in sorted(stage.inputs)},
                }
            )
        return found

    @cached_property
    def digest(self) -> str:
        """Hash of all that decides which outputs a shard must have."""
        return digest_of(
            {
                name: [
                    self.fingerprints[name],
                    name in self.label_dependent,
                    *(stage.selected_by, stage.corpus, stage.labelled_only, stage.written),
                ]
                for name, stage in self.stages.items()
            }
        )

    def ancestors(self, name: str) -> tuple[str, ...]:
        """Return all stages that `name` depends on, directly or not, in build order."""
        wanted: set[str] = set()
        pending = [name]
        while pending:
            new = self.stages[pending.pop()].upstream - wanted
            wanted |= new
            pending.extend(new)
        return tuple(other for other in self.stages if other in wanted)

    @cached_property
    def label_dependent(self) -> frozenset[str]:
        """Stages whose rows depend on labels, themselves or through an input."""
        found: set[str] = set()
        for stage in self.stages.values():
            if stage.reads_labels or found.intersection(stage.inputs):
                found.add(stage.name)
        return frozenset(found)
