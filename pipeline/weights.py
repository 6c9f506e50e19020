"""The weights that a configuration's engines need: which they are, whether they are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wavemill.pipeline.curation import CONVERSATION_STAGES, STAGES, BaseConfig
from wavemill.stages.bundled import BundledFile
from wavemill.stages.declared import Declared, HubFiles, WebFile
from wavemill.stages.engine import Engine, EngineUnavailable, selected_engine
from wavemill.stages.stage import EngineStage, Stage
from wavemill.stages.weight_file import WeightFile

NOT_IN_WHEELS = (HubFiles, WebFile)


@dataclass(frozen=True)
class Needed:
    """What the engine of one stage declares, and the files of it."""

    stage: str
    engine: str
    declared: Declared

    def files(self) -> list[WeightFile]:
        return self.declared.files()

    @property
    def setting(self) -> str:
        """Return e.g. "transcribe.faster_whisper.model", "" where a folder cannot be named."""
        own = "" if isinstance(self.declared, BundledFile) else self.declared.setting
        return f"{self.stage}.{self.engine}.{own}" if own else ""


def needed(config: BaseConfig) -> list[Needed]:
    """Return the weights of the engines that a configuration chooses, in the order of stages.

    Raises EngineUnavailable where an engine cannot say what it needs.
    """
    return [
        Needed(stage.section_name(), engine.name, declared)
        for stage, engine in _engines(config)
        for declared in engine.weights()
    ]


def engine_classes() -> Iterator[tuple[str, type[Engine[Any]]]]:
    """Yield stage and class of every engine that there is."""
    for stage in (*STAGES, *CONVERSATION_STAGES):
        if issubclass(stage, EngineStage):
            for engine in stage.engines.values():
                yield stage.section_name(), engine


def faults(files: Iterable[WeightFile]) -> list[str]:
    """Read files; return a line, with its remedy, for each that is missing or changed.

    Raises OSError.
    """
    found: dict[str, None] = {}  # engines share files
    for file in files:
        if (state := file.state(hashed=True)) != "present":
            where = file.path or file.name
            found[f"{where} ({file.origin}): {state}; remedy: {file.remedy}"] = None
    return list(found)


def _engines(config: BaseConfig) -> Iterator[tuple[type[Stage[Any]], Engine[Any]]]:
    for stage in STAGES:
        if issubclass(stage, EngineStage):
            yield stage, selected_engine(config.settings_of(stage), stage.engines)
    for stage in CONVERSATION_STAGES:  # of an extra, which those who speak nothing do without
        if issubclass(stage, EngineStage):
            engine = selected_engine(config.settings_of(stage), stage.engines)
            if _installed(engine):
                yield stage, engine


def _installed(engine: Engine[Any]) -> bool:
    try:
        engine.check_packages()
    except EngineUnavailable:
        return False
    return True


def to_fetch(wanted: Sequence[Needed]) -> list[Needed]:
    """Return what does not come inside wheels, nor lies in folders of one's own."""
    return [one for one in wanted if isinstance(one.declared, NOT_IN_WHEELS)]


def fetched(one: Needed, to: Path | None) -> Path:
    """Download what `to_fetch` returned; return where it is. Raises EngineUnavailable."""
    if not isinstance(one.declared, NOT_IN_WHEELS):
        raise TypeError(f"{one.declared.origin} is not fetched")
    return one.declared.fetch(to)


def recipe(places: Sequence[tuple[Needed, Path]], to: Path | None) -> list[str]:
    """Return, a line each, what a machine without a network needs to use what was fetched."""
    lines = []
    if any(isinstance(one.declared, HubFiles) for one, _ in places):
        lines.append("export HF_HUB_OFFLINE=1")
    if to is None:
        lines += sorted({f"# take along {_copied(one.declared, path)}" for one, path in places})
        return lines
    for one, path in places:
        if one.setting:
            lines.append(f"--set {one.setting}={path}")
        elif isinstance(one.declared, WebFile):
            lines.append(f"# copy {path} to {one.declared.path}")
    return lines


def _copied(declared: Declared, path: Path) -> Path:
    """Return what has to be copied: the folder of a repository in the cache, with its blobs."""
    return path.parent.parent if isinstance(declared, HubFiles) else path
