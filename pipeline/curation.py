"""The curation pipeline: its configuration, and its stages in order.

This is where the build core, which knows nothing of audio, meets the stages, which know
nothing of the build. A new stage is one more entry of `make_graph`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType, ModuleType
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from wavemill.manifests.config import ScanConfig
from wavemill.manifests.table import SCHEMA as RECORDINGS_SCHEMA
from wavemill.pipeline.catalogue import SCHEMA as CATALOGUE_SCHEMA
from wavemill.pipeline.corpora import pretrain, sft
from wavemill.pipeline.corpora.sft import SftSettings
from wavemill.pipeline.corpora.splits import SplitSettings
from wavemill.pipeline.execution.settings import ExecutionSettings
from wavemill.pipeline.graph import Graph, Stage
from wavemill.pipeline.ledger import SCHEMA as LEDGER_SCHEMA
from wavemill.pipeline.snapshots import LINEAGE_SCHEMA, STAGES_SCHEMA
from wavemill.pipeline.task import ERRORS_SCHEMA
from wavemill.pipeline.tombstones import SCHEMA as WITHDRAWN_SCHEMA
from wavemill.stages.audio.limits import DecodeLimits
from wavemill.stages.audio.version import VersionSettings
from wavemill.stages.denoise import stage as denoise
from wavemill.stages.diarize import stage as diarize
from wavemill.stages.engine import Engine, StageSettings, fingerprint_parameters, selected_engine
from wavemill.stages.filter import score_audio, score_text, verdict
from wavemill.stages.tokenize import tokenize, tokenize_text
from wavemill.stages.tokenize.engines import ENGINES as AUDIO_ENGINES
from wavemill.stages.tokenize.engines import TEXT_ENGINES
from wavemill.stages.transcribe import stage as transcribe

# Sections with one sub-section per engine: classes made from the lists of engines.
DenoiseConfig = denoise.Config
DiarizeConfig = diarize.Config
TranscribeConfig = transcribe.Config
ScoreAudioConfig = score_audio.Config
TokenizeConfig = tokenize.Config
TokenizeTextConfig = tokenize_text.Config


class FilterSettings(verdict.Config):
    """Thresholds (`raw`, `labelled`) and how scores are made (`audio`, `text`)."""

    audio: ScoreAudioConfig = ScoreAudioConfig()  # type: ignore[valid-type]
    text: score_text.Config = score_text.Config()


class Config(BaseModel):
    """Everything that can be chosen; `wavemill config show` prints it resolved."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: str = "embedded"
    sources: ScanConfig = ScanConfig()
    shard_seconds: float = Field(60.0, gt=0)  # of audio in one unit of work; 3600 on a cluster
    version: VersionSettings = VersionSettings()
    denoise: DenoiseConfig = DenoiseConfig()  # type: ignore[valid-type]
    diarize: DiarizeConfig = DiarizeConfig()  # type: ignore[valid-type]
    transcribe: TranscribeConfig = TranscribeConfig()  # type: ignore[valid-type]
    filter: FilterSettings = FilterSettings()
    tokenize: TokenizeConfig = TokenizeConfig()  # type: ignore[valid-type]
    tokenize_text: TokenizeTextConfig = TokenizeTextConfig()  # type: ignore[valid-type]
    sft: SftSettings = SftSettings()
    splits: SplitSettings = SplitSettings()
    execution: ExecutionSettings = ExecutionSettings()


def make_graph(config: Config) -> Graph:
    """Return the stages of the curation pipeline.

    Raises EngineUnavailable when the weights of an engine cannot be identified.
    """
    decoding = {"version": config.version, "limits": decode_limits(config)}
    judged = verdict.Config(raw=config.filter.raw, labelled=config.filter.labelled)
    return Graph(
        [
            _with_engine(denoise, config.denoise),
            _with_engine(diarize, config.diarize),
            _with_engine(transcribe, config.transcribe),
            _with_engine(score_audio, config.filter.audio, decoding=decoding),
            _plain(score_text, config.filter.text, reads_labels=True),
            _plain(verdict, judged),
            _with_engine(tokenize, config.tokenize, decoding=decoding),
            _with_engine(tokenize_text, config.tokenize_text, reads_labels=True),
            _pretrain(config),
            _sft(config),
        ]
    )


def decode_limits(config: Config) -> DecodeLimits:
    """Return the limits within which every stage, and the scan, decodes recordings."""
    denoising: DecodeLimits = config.denoise
    return DecodeLimits(**denoising.model_dump(include=set(DecodeLimits.model_fields)))


def result_config(config: Config) -> dict[str, Any]:
    """Return what determines how recordings become rows, as JSON values."""
    return config.model_dump(mode="json", exclude={"execution", "sources"})


def all_schemas() -> dict[str, pa.Schema]:
    """Return the schema of every table, by name."""
    modules: list[ModuleType] = [denoise, diarize, transcribe, score_audio, score_text, verdict]
    modules += [tokenize, tokenize_text, pretrain, sft]
    return {
        **{module.NAME: module.SCHEMA for module in modules},
        "recordings": RECORDINGS_SCHEMA,
        "errors": ERRORS_SCHEMA,
        "lineage": LINEAGE_SCHEMA,
        "stages": STAGES_SCHEMA,
        "catalogue": CATALOGUE_SCHEMA,
        "ledger": LEDGER_SCHEMA,
        "withdrawn": WITHDRAWN_SCHEMA,
    }


def _with_engine(
    module: ModuleType,
    settings: StageSettings,
    decoding: Mapping[str, BaseModel] = MappingProxyType({}),
    reads_labels: bool = False,
) -> Stage:
    """Register a stage module whose work an engine does; `decoding` goes to its `build`."""
    engines: Mapping[str, type[Engine[Any]]] = module.ENGINES
    parameters = fingerprint_parameters(settings, engines)
    parameters |= {name: value.model_dump(mode="json") for name, value in decoding.items()}
    return Stage(
        name=module.NAME,
        version=module.VERSION,
        inputs=module.INPUTS,
        schema=module.SCHEMA,
        parameters=parameters,
        build=partial(_build_on, module, settings, dict(decoding)),
        reads_labels=reads_labels,
        covers=getattr(module, "COVERS", None),
        check=selected_engine(settings, engines).check,
    )


def _plain(module: ModuleType, settings: BaseModel, reads_labels: bool = False) -> Stage:
    """Register a stage module that is arithmetic only."""
    return Stage(
        name=module.NAME,
        version=module.VERSION,
        inputs=module.INPUTS,
        schema=module.SCHEMA,
        parameters=settings.model_dump(mode="json"),
        build=partial(module.build, settings),
        reads_labels=reads_labels,
    )


def _build_on(
    module: ModuleType, settings: StageSettings, extra: Mapping[str, Any], device: str
) -> Any:
    """Build a stage on the device that its settings name, else on the worker's."""
    chosen = device if settings.device == "auto" else settings.device
    return module.build(settings, chosen, **extra)


def _pretrain(config: Config) -> Stage:
    text: Any = selected_engine(config.tokenize_text, TEXT_ENGINES)
    return Stage(
        name=pretrain.NAME,
        version=pretrain.VERSION,
        inputs=pretrain.INPUTS,
        schema=pretrain.SCHEMA.with_metadata({"huggingface": pretrain.HUGGINGFACE}),
        parameters={},
        build=pretrain.build,
        reads_labels=True,
        corpus=True,
        file_metadata={
            **_semantic_tokenizer(config),
            "text_tokenizer": f"{text.name} {text.weights_identity()}",
        },
    )


def _sft(config: Config) -> Stage:
    return Stage(
        name=sft.NAME,
        version=sft.VERSION,
        inputs=sft.INPUTS,
        schema=sft.SCHEMA.with_metadata({"huggingface": sft.HUGGINGFACE}),
        parameters=sft.parameters(config.sft),
        build=partial(sft.build, config.sft),
        reads_labels=True,
        corpus=True,
        labelled_only=not config.sft.asr_from_pretrain,
        file_metadata=_semantic_tokenizer(config),
    )


def _semantic_tokenizer(config: Config) -> dict[str, str]:
    audio: Any = selected_engine(config.tokenize, AUDIO_ENGINES)
    return {
        "semantic_tokenizer": f"{audio.name} {audio.weights_identity()}",
        "semantic_vocab_size": str(audio.vocab_size),
    }
