"""The curation pipeline: its stages in order, and the configuration that follows from them.

This is where the build core, which knows nothing of audio, meets the stages, which know
nothing of the build. A new stage is one more line of `STAGES`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, create_model

from wavemill.manifests.config import ScanConfig
from wavemill.manifests.table import SCHEMA as RECORDINGS_SCHEMA
from wavemill.pipeline.catalogue import SCHEMA as CATALOGUE_SCHEMA
from wavemill.pipeline.config import ConfigModel
from wavemill.pipeline.corpora.pretrain import Pretrain
from wavemill.pipeline.corpora.sft import Sft
from wavemill.pipeline.corpora.sft_spoken import SftSpoken
from wavemill.pipeline.corpora.splits import SplitSettings
from wavemill.pipeline.execution.settings import ExecutionSettings
from wavemill.pipeline.graph import ConfiguredStage, Graph
from wavemill.pipeline.ledger import SCHEMA as LEDGER_SCHEMA
from wavemill.pipeline.renamed import RENAMED, REPLACED
from wavemill.pipeline.snapshots import LINEAGE_SCHEMA, STAGES_SCHEMA
from wavemill.pipeline.task import ERRORS_SCHEMA
from wavemill.pipeline.tombstones import SCHEMA as WITHDRAWN_SCHEMA
from wavemill.stages.audio.limits import DecodeLimits
from wavemill.stages.audio.version import AudioVersionSettings
from wavemill.stages.augment.stage import Augment
from wavemill.stages.cast.stage import Cast
from wavemill.stages.decode.stage import Decode
from wavemill.stages.denoise.stage import Denoise
from wavemill.stages.diarize.stage import Diarize
from wavemill.stages.listen.stage import Listen
from wavemill.stages.recording_stage import RecordingStage
from wavemill.stages.rewrite.stage import Rewrite
from wavemill.stages.score import Score
from wavemill.stages.score_audio.stage import ScoreAudio
from wavemill.stages.score_signal.stage import ScoreSignal
from wavemill.stages.score_text.stage import ScoreText
from wavemill.stages.screen.stage import Screen
from wavemill.stages.speak.stage import Speak
from wavemill.stages.stage import NoSettings, S, SharedSettings, Stage
from wavemill.stages.store_audio.stage import StoreAudio
from wavemill.stages.tokenize.stage import Tokenize
from wavemill.stages.tokenize_spoken.stage import TokenizeSpoken
from wavemill.stages.tokenize_text.stage import TokenizeText
from wavemill.stages.transcribe.stage import Transcribe
from wavemill.stages.verdict.stage import Verdict
from wavemill.stages.verdict_spoken.stage import VerdictSpoken


def together(stages: Sequence[type[Stage[Any]]]) -> tuple[type[Stage[Any]], ...]:
    """Return the stages of a pipeline as they are among each other (`Stage.among`)."""
    return tuple(stage.among(stages) for stage in stages)


STAGES = together(
    (  # in the order in which they are built
        Decode,
        Denoise,
        Diarize,
        Transcribe,
        ScoreAudio,
        ScoreSignal,
        ScoreText,
        Verdict,
        StoreAudio,
        Tokenize,
        TokenizeText,
        Pretrain,
        Sft,
    )
)


# A branch of their own, in the graph where the sources have written conversations.
CONVERSATION_STAGES: tuple[type[Stage[Any]], ...] = (
    Screen,
    Rewrite,
    Cast,
    Speak,
    Listen,
    VerdictSpoken,
    Augment,
    TokenizeSpoken,
    SftSpoken,
)


class BaseConfig(ConfigModel):
    """What can be chosen beside the settings of the stages."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    renamed = RENAMED
    replaced = REPLACED

    profile: str = "embedded"
    sources: ScanConfig = ScanConfig()
    shard_seconds: float = Field(60.0, gt=0)  # of audio in one unit of work; 3600 on a cluster
    audio_version: AudioVersionSettings = AudioVersionSettings()
    splits: SplitSettings = SplitSettings()
    execution: ExecutionSettings = ExecutionSettings()

    def settings_of(self, stage: type[Stage[S]]) -> S:
        """Return the settings of a stage, without the sections of others that stand within."""
        section: Any = self
        for name in stage.section_name().split("."):
            section = getattr(section, name, None)
        # By value: in a worker, sections that were sent to it are of classes of their own.
        values = section.model_dump(include=set(stage.Settings.model_fields)) if section else {}
        return stage.Settings.model_validate(values)

    def shared_settings(self) -> SharedSettings:
        """Return the settings that stages have in common."""
        return SharedSettings(audio_version=self.audio_version, limits=decode_limits(self))


def config_class(stages: Sequence[type[Stage[Any]]]) -> type[BaseConfig]:
    """Return the class of a configuration with a section for every stage that has settings."""
    found = {s.section_name(): s.Settings for s in stages if s.Settings.model_fields}
    fields = _sections(found)
    return create_model("Config", __base__=BaseConfig, __module__=__name__, **fields)


def _sections(found: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """Return fields for `create_model`: a section `a.b` becomes a field of section `a`."""
    fields: dict[str, Any] = {}
    for name in dict.fromkeys(name.partition(".")[0] for name in found):
        beginning = f"{name}."
        inner = _sections(
            {k.removeprefix(beginning): v for k, v in found.items() if k.startswith(beginning)}
        )
        section = found.get(name, NoSettings)
        if inner:
            section = create_model(section.__name__, __base__=section, **inner)
        fields[name] = (section, section())
    return fields


if TYPE_CHECKING:
    Config = BaseConfig
else:
    # Everything that can be chosen; `wavemill config show` prints it.
    Config = config_class((*STAGES, *CONVERSATION_STAGES))


def make_graph(config: BaseConfig, conversations: bool = False) -> Graph:
    """Return the stages of the curation pipeline, with `conversations` those of these too.

    Raises EngineUnavailable when the weights of an engine cannot be identified.
    """
    about: dict[str, dict[str, str]] = {}  # what the files of a corpus say of a stage
    stages: list[ConfiguredStage] = []
    shared = config.shared_settings()
    declared = (*STAGES, *(CONVERSATION_STAGES if conversations else ()))
    alone = {stage.name: stage(config.settings_of(stage), shared) for stage in declared}
    for stage in (one.beside(alone) for one in alone.values()):
        parameters = stage.parameters()  # first: where a package is missing, it names the remedy
        about[stage.name] = stage.file_metadata()
        read = stage.inputs if stage.corpus else ()
        metadata = {key: value for name in read for key, value in about[name].items()}
        stages.append(_configured(stage, parameters, metadata))
    return Graph(stages)


def _configured(
    stage: Stage[Any], parameters: dict[str, Any], file_metadata: dict[str, str]
) -> ConfiguredStage:
    return ConfiguredStage(
        name=stage.name,
        version=stage.version,
        inputs=stage.inputs,
        schema=stage.schema,
        parameters=parameters,
        build=partial(_built, type(stage), stage.pinned(), stage.shared_settings),
        reads_labels=stage.reads_labels,
        selected_by=stage.selected_by,
        corpus=stage.corpus,
        labelled_only=stage.labelled_only,
        written=stage.written,
        needs_worker=stage.needs_worker(),
        file_metadata=file_metadata,
        check=stage.check,
        division=stage.division,
    )


def _built(
    stage: type[Stage[Any]], settings: BaseModel, shared: SharedSettings, device: str
) -> RecordingStage:
    return stage.build(settings, device, shared)


def decode_limits(config: BaseConfig) -> DecodeLimits:
    """Return the limits within which every stage, and the scan, decodes recordings."""
    decoding = config.settings_of(Decode)
    return DecodeLimits(**decoding.model_dump(include=set(DecodeLimits.model_fields)))


def result_config(config: BaseConfig) -> dict[str, Any]:
    """Return what determines how recordings become rows, as JSON values."""
    return config.model_dump(mode="json", exclude={"execution", "sources"})


def scoring_stages() -> tuple[type[Stage[Any]], ...]:
    """Return the stages that score segments, in build order."""
    return tuple(stage for stage in STAGES if stage.scores)


def all_scores() -> tuple[Score, ...]:
    """Return all scores that there are, in the order of their stages."""
    return tuple(score for stage in scoring_stages() for score in stage.scores)


def all_schemas() -> dict[str, pa.Schema]:
    """Return the schema of every table, by name."""
    return {
        **{stage.name: stage.schema for stage in (*STAGES, *CONVERSATION_STAGES)},
        "recordings": RECORDINGS_SCHEMA,
        "errors": ERRORS_SCHEMA,
        "lineage": LINEAGE_SCHEMA,
        "stages": STAGES_SCHEMA,
        "catalogue": CATALOGUE_SCHEMA,
        "ledger": LEDGER_SCHEMA,
        "withdrawn": WITHDRAWN_SCHEMA,
    }
