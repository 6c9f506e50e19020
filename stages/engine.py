"""What an engine is: a named, versioned wrapper around one model, with one method that works."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationInfo, create_model, field_validator

from wavemill.manifests.filesystems import anchored

if TYPE_CHECKING:
    from wavemill.stages.declared import Declared


class EngineConfig(BaseModel):
    """Parameters of an engine; every field enters the fingerprint of what the engine makes.

    But for `weights_fields`, which only say where the weights are: instead of them what they lead
    to enters, as `Engine.weights_identity`, so that weights may be moved. What changes the output
    in any other way, if by the rounding of floats (batch sizes), is no such field.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    weights_fields: ClassVar[frozenset[str]] = frozenset()

    @field_validator("*")
    @classmethod
    def _from_any_folder(cls, value: Any, info: ValidationInfo) -> Any:
        """Make paths of weights absolute: workers, and a later refresh, have other folders."""
        return _anchored(value) if info.field_name in cls.weights_fields else value

    def fingerprinted(self) -> dict[str, Any]:
        """Return the fields that determine the output, as JSON values."""
        return self.model_dump(mode="json", exclude=set(self.weights_fields))


def _anchored(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_copy(update={name: _anchored(inner) for name, inner in value})
    if isinstance(value, Path):
        return Path(anchored(str(value)))
    if isinstance(value, str) and "/" in value and (found := Path(anchored(value))).exists():
        return str(found)
    return value  # what a package or a hub knows by name, or a number


C = TypeVar("C", bound="EngineConfig")


class EngineUnavailable(Exception):
    """An engine cannot load: says which package or weights are missing and the remedy."""


class Engine(ABC, Generic[C]):
    """Base of all engines.

    A subclass is cheap to import and to construct: heavy packages are imported in `load`,
    which runs once in each worker. `version` is raised whenever the output changes.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    Config: ClassVar[type[EngineConfig]] = EngineConfig
    packages: ClassVar[tuple[str, ...]] = ()  # distributions that `load` imports
    extra: ClassVar[str | None] = None  # of wavemill, that brings them; None: its plain install

    def __init__(self, config: C) -> None:
        self.config = config

    def check(self) -> None:
        """See, before any work starts, whether `load` can work; imports and downloads nothing big.

        An engine that fetches its weights at first use adds a look at whether they can be had.
        Raises EngineUnavailable naming engine, weights, package and the remedy.
        """
        self.check_packages()
        self.weights_identity()

    def check_packages(self) -> None:
        """Raise EngineUnavailable for the first of `packages` that is not installed."""
        for package in self.packages:
            try:
                metadata.version(package)
            except metadata.PackageNotFoundError as error:
                wanted = f"'wavemill[{self.extra}]'" if self.extra else package
                raise EngineUnavailable(
                    f"engine {self.name!r}{self._weights_named()}: package {package!r} is not "
                    f"installed; remedy: pip install {wanted}"
                ) from error

    def _weights_named(self) -> str:
        """Return e.g. " (model htdemucs)"."""
        values = self.config.model_dump(mode="json", include=set(self.config.weights_fields))
        named = [f"{key} {value}" for key, value in values.items() if isinstance(value, str)]
        return f" ({', '.join(named)})" if named else ""

    @abstractmethod
    def weights_identity(self) -> str:
        """Name the exact weights (package version or content hash) without loading them.

        Raises EngineUnavailable when they are not there.
        """

    def pinned(self) -> C:
        """Return the config with the weights that `weights_identity` names, for all workers.

        A branch of a hub repository moves on: its commit takes its place. Raises
        EngineUnavailable.
        """
        return self.config

    def weights(self) -> Sequence[Declared]:
        """Return what the engine's weights are, for this config, without reading or fetching.

        Empty for an engine that has none. Raises EngineUnavailable when it cannot be said.
        """
        return ()

    def thresholds(self) -> Mapping[str, float]:
        """Return the thresholds of rules on scores whose scale is this engine's own.

        By setting, e.g. `min_asr_confidence`. They hold where the config says "engine", as it does
        by default for such a rule.
        """
        return {}

    @abstractmethod
    def load(self, device: str) -> None:
        """Load the weights onto `device` ("cpu", "cuda", "cuda:1").

        Raises EngineUnavailable when a package or the weights are missing.
        """


def package_identity(distribution: str) -> str:
    """Return e.g. "silero-vad 6.2.3", for weights that travel inside a wheel.

    Raises EngineUnavailable naming the distribution when it is not installed.
    """
    try:
        return f"{distribution} {metadata.version(distribution)}"
    except metadata.PackageNotFoundError as error:
        raise EngineUnavailable(
            f"package {distribution!r} is not installed; remedy: pip install {distribution}"
        ) from error


class StageSettings(BaseModel):
    """What every stage with engines has in its config section; a stage adds its own fields.

    The section holds one sub-section per engine, e.g. `denoise.rnnoise`, made by `with_engines`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: str
    device: str = "auto"  # "auto": cuda where there is one, else cpu; no part of the fingerprint


S = TypeVar("S", bound=StageSettings)
E = TypeVar("E", bound=Engine[Any])


def with_engines(settings: type[S], engines: Mapping[str, type[Engine[Any]]]) -> type[S]:
    """Return `settings` with one field per engine (its Config), and `engine` checked by name."""

    def known(_: type[BaseModel], name: str) -> str:
        if name not in engines:
            raise ValueError(f"unknown engine {name!r}; there are: {', '.join(sorted(engines))}")
        return name

    fields: dict[str, Any] = {name: (e.Config, e.Config()) for name, e in engines.items()}
    checks: dict[str, Any] = {"engine_is_known": field_validator("engine")(classmethod(known))}
    return create_model(settings.__name__, __base__=settings, __validators__=checks, **fields)


def selected_engine(settings: StageSettings, engines: Mapping[str, type[E]]) -> E:
    """Construct (not load) the engine that `settings.engine` names, with its sub-section."""
    return engines[settings.engine](getattr(settings, settings.engine))


def fingerprint_parameters(
    settings: StageSettings, engines: Mapping[str, type[Engine[Any]]]
) -> dict[str, Any]:
    """Return everything of `settings` that determines the output, as JSON values.

    Raises EngineUnavailable when a package is missing or the weights cannot be identified.
    """
    engine = selected_engine(settings, engines)
    engine.check_packages()  # weights are often identified by them
    return {
        **settings.model_dump(mode="json", exclude={"device", *engines}),
        "engine_version": engine.version,
        "engine_parameters": engine.config.fingerprinted(),
        "weights": engine.weights_identity(),
    }
