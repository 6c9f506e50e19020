"""What a stage is: one class that says everything the build has to know of it, and does the work.

A stage knows nothing of the store, of Ray or of the other stages but their names. To add one:
a folder in `stages/` with a subclass, and its line in `STAGES` of `pipeline/curation.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from wavemill.manifests.recording import Recording
from wavemill.stages.audio.limits import DecodeLimits
from wavemill.stages.audio.version import AudioVersion, AudioVersionSettings
from wavemill.stages.engine import Engine, StageSettings, fingerprint_parameters, selected_engine
from wavemill.stages.recording_stage import Division, SpanError, Upstream
from wavemill.stages.score import Score

SharedName = Literal["audio_version", "limits"]
_KEYS = {"audio_version": "version"}  # in fingerprints, which are older than the names


class SharedSettings(BaseModel):
    """Settings that are the same in all stages, and are set in one place of the config."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    audio_version: AudioVersionSettings = AudioVersionSettings()
    limits: DecodeLimits = DecodeLimits()


class NoSettings(BaseModel):
    """Settings of a stage that has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


S = TypeVar("S", bound=BaseModel)
ES = TypeVar("ES", bound=StageSettings)
E = TypeVar("E", bound=Engine[Any])


class Stage(ABC, Generic[S]):
    """A step of the build, as a pure function from the tables of its inputs to one table.

    Subclasses set the attributes below. Constructing one is cheap; `load` is called once in each
    worker before the stage is called.
    """

    name: ClassVar[str]  # of the stage and of its table
    version: ClassVar[int]  # raised whenever the output changes
    schema: ClassVar[pa.Schema]  # of its table
    Settings: type[S]  # class of its section of the config
    section: ClassVar[str | None] = None  # of the config, e.g. "filter.text"; None: the name
    shared: ClassVar[tuple[SharedName, ...]] = ()  # shared settings that determine its output
    reads_labels: ClassVar[bool] = False  # depends on labels of the manifest, not on ids only
    # Works on the segments alone that this stage marks `kept`, and adds to them when there are
    # more. Values of its rows must not depend on which segments are kept.
    selected_by: ClassVar[str | None] = None
    written: ClassVar[bool] = False  # works on written conversations, and not on recordings
    corpus: ClassVar[bool] = False  # its table is a product: it stands in every snapshot
    scores: ClassVar[tuple[Score, ...]] = ()  # what rules may test: its columns, and derived ones
    has_engine: ClassVar[bool] = False

    def __init__(self, settings: S, shared: SharedSettings | None = None) -> None:
        self.settings = settings
        self.shared_settings = shared or SharedSettings()

    @classmethod
    def build(cls, settings: S, device: str = "cpu", shared: SharedSettings | None = None) -> Self:
        """Construct the stage and load its engine. Raises EngineUnavailable."""
        stage = cls(settings, shared)
        stage.load(device)
        return stage

    @property
    def inputs(self) -> tuple[str, ...]:
        """The stages whose tables it reads.

        A class attribute says it where no setting decides.
        """
        return ()

    @property
    def reads_audio(self) -> AudioVersion | None:
        """The version in which it reads all recordings; None: that which is published, or none."""
        return None

    @classmethod
    def among(cls, stages: Sequence[type[Stage[Any]]]) -> type[Stage[Any]]:
        """Return the stage as it is in a pipeline of `stages`, of which it is one.

        What works on the scores of all stages takes its inputs, settings and columns from them.
        """
        del stages
        return cls

    def beside(self, stages: Mapping[str, Stage[Any]]) -> Self:
        """Return the stage with settings that the stages of its pipeline (by name) decide."""
        del stages
        return self

    @classmethod
    def section_name(cls) -> str:
        """Return where its settings stand in the config, with dots between the levels."""
        return cls.section or cls.name

    @classmethod
    def needs_worker(cls) -> bool:
        """Return whether its work may crash a process: it runs a model or decodes audio."""
        return cls.has_engine or "limits" in cls.shared

    @property
    def labelled_only(self) -> bool:
        """Whether it has nothing to say about shards without labelled recordings."""
        return False

    @property
    def division(self) -> Division | None:
        """How a long recording may be divided among workers; None: one does all of it."""
        return None

    def parameters(self) -> dict[str, Any]:
        """Return all that determines the output but name, version and inputs, as JSON values.

        It is hashed into the fingerprint, so keys stay as they are. Raises EngineUnavailable when
        weights cannot be identified.
        """
        return {**self.settings.model_dump(mode="json"), **self._shared_parameters()}

    def pinned(self) -> S:
        """Return the settings that workers are given, with weights named for good.

        Raises EngineUnavailable.
        """
        return self.settings

    def _shared_parameters(self) -> dict[str, Any]:
        values = self.shared_settings.model_dump(mode="json")
        return {_KEYS.get(name, name): values[name] for name in self.shared}

    def file_metadata(self) -> dict[str, str]:
        """Return what the files of every corpus that reads this stage say of it."""
        return {}

    def check(self) -> None:
        """See, before any work starts, whether `load` can work. Raises EngineUnavailable."""

    def load(self, device: str) -> None:
        """Load what the stage works with onto `device` ("cpu", "cuda"). Raises EngineUnavailable.

        A device that the settings name wins over `device`.
        """

    @abstractmethod
    def __call__(
        self, recording: Recording, upstream: Upstream
    ) -> Iterator[pa.RecordBatch | SpanError]:
        """Yield this recording's rows; see `wavemill.stages.recording_stage.RecordingStage`."""


class EngineStage(Stage[ES], Generic[ES, E]):
    """A stage whose work one of several engines does: the one that the settings name."""

    engines: Mapping[str, type[E]]  # by the name that the settings have
    has_engine = True

    def __init__(
        self, settings: ES, shared: SharedSettings | None = None, engine: E | None = None
    ) -> None:
        """Take `engine`, loaded already, in place of the one that the settings name."""
        super().__init__(settings, shared)
        self.engine = selected_engine(settings, self.engines) if engine is None else engine

    def parameters(self) -> dict[str, Any]:
        own = fingerprint_parameters(self.settings, self.engines)
        return {**own, **self._shared_parameters()}

    def pinned(self) -> ES:
        return self.settings.model_copy(update={self.engine.name: self.engine.pinned()})

    def check(self) -> None:
        self.engine.check()

    def load(self, device: str) -> None:
        wanted = self.settings.device
        self.engine.load(device if wanted == "auto" else wanted)
