"""Finding and safely loading what a pyannote.audio diarization pipeline consists of.

The package unpickles checkpoints and instantiates whatever class a pipeline's config.yaml names,
both of which can execute anything. Here the config is read as data and only its choice of models
and parameters is taken; checkpoints are read with torch's restricted unpickler.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from wavemill.stages.declared import Declared, HubFiles, LocalFiles
from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.weights import sha256_of_file

PIPELINES = (
    "pyannote.audio.pipelines.SpeakerDiarization",
    "pyannote.audio.pipelines.speaker_diarization.SpeakerDiarization",
)
OPTIONS = ("segmentation_step", "embedding_exclude_overlap", "clustering")
UNUSED = ("segmentation_batch_size", "embedding_batch_size", "legacy", "der_variant")
CLUSTERINGS = ("VBxClustering", "AgglomerativeClustering")
CONFIG_FILE, MODEL_FILE = "config.yaml", "pytorch_model.bin"
PLDA_FILES = ("xvec_transform.npz", "plda.npz")
TOKEN = "HF_TOKEN"
COMMUNITY = "pyannote/speaker-diarization-community-1"
PATTERNS = ("*.yaml", "*.bin", "*.npz")  # of a repository's files
GATED = "pyannote/"  # its repositories open only to those who accepted their conditions
EXTRA = "paper"
INSTALL = f"pip install 'wavemill[{EXTRA}]'"


@dataclass(frozen=True, slots=True)
class PipelineFiles:
    """Local files and parameters of a SpeakerDiarization pipeline."""

    segmentation: Path
    embedding: Path
    plda: tuple[Path, Path] | None  # as PLDA_FILES; VBxClustering needs it
    options: Mapping[str, Any] = field(default_factory=dict)  # of its constructor: OPTIONS
    parameters: Mapping[str, Any] = field(default_factory=dict)  # of `instantiate`

    def paths(self) -> tuple[Path, ...]:
        return (self.segmentation, self.embedding, *(self.plda or ()))

    def identity(self) -> str:
        """Return a hash of the content of all files, and of options and parameters."""
        digest = hashlib.sha256()
        for path in self.paths():
            digest.update(sha256_of_file(path).encode())
        settings = [dict(self.options), dict(self.parameters)]
        digest.update(json.dumps(settings, sort_keys=True).encode())
        return f"sha256:{digest.hexdigest()}"


def unavailable(problem: str, remedy: str) -> EngineUnavailable:
    """Return the error with the engine's name, for `raise`."""
    return EngineUnavailable(f"engine 'pyannote': {problem}; remedy: {remedy}")


def pipeline_files(pipeline: str, revision: str | None) -> PipelineFiles:
    """Return the files of a pipeline: a hub repository, a folder, or the path of a config.yaml.

    Looks into the local cache of the hub first and downloads what is not there. Raises
    EngineUnavailable saying what is missing.
    """
    here = Path(pipeline)
    if here.is_dir():
        home: Path | _Hub = here
        path = here / CONFIG_FILE
    elif here.is_file():
        home, path = here.parent, here
    elif _is_hub_name(pipeline):
        home = _Hub(pipeline, revision)
        path = home.file(CONFIG_FILE, None)
    else:
        raise unavailable(
            f"there is no pipeline {pipeline!r}",
            "set diarize.pyannote.pipeline to the name of a hub repository (owner/name), a folder "
            f"with a {CONFIG_FILE}, or such a file",
        )
    return _read_config(path, home)


def declared(pipeline: str, revision: str | None) -> tuple[Declared, ...]:
    """Return the files of a pipeline, those of other repositories that it names left out."""
    if Path(pipeline).exists() or not _is_hub_name(pipeline):
        return tuple(
            LocalFiles(path, "pipeline") for path in pipeline_files(pipeline, revision).paths()
        )
    needed: tuple[str, ...] = (CONFIG_FILE,)
    licence = ""
    if pipeline == COMMUNITY:
        parts = ("segmentation", "embedding")
        models = (f"{part}/{MODEL_FILE}" for part in parts)
        needed = (CONFIG_FILE, *models, *(f"plda/{name}" for name in PLDA_FILES))
        licence = "CC-BY-4.0"
    return (HubFiles(pipeline, "pipeline", needed, PATTERNS, licence, revision),)


def local_model(path: Path, setting: str) -> Path:
    """Return a model's checkpoint, given by its own path or its folder's."""
    found = path / MODEL_FILE if path.is_dir() else path
    if not found.is_file():
        raise unavailable(
            f"there is no model at {found}", f"set {setting} to a checkpoint of pyannote.audio"
        )
    return found


def local_plda(folder: Path, setting: str) -> tuple[Path, Path]:
    """Return the two files of a PLDA in a folder."""
    first, second = (folder / name for name in PLDA_FILES)
    if not (first.is_file() and second.is_file()):
        raise unavailable(
            f"{folder} holds no PLDA", f"set {setting} to a folder with {' and '.join(PLDA_FILES)}"
        )
    return first, second


@dataclass(frozen=True, slots=True)
class _Hub:
    """A repository on the model hub."""

    name: str
    revision: str | None = None

    def file(self, name: str, subfolder: str | None) -> Path:
        """Return the local copy of one file."""
        try:
            from huggingface_hub import hf_hub_download
            from huggingface_hub.errors import LocalEntryNotFoundError
        except ImportError as error:
            raise unavailable("package 'huggingface_hub' is not installed", INSTALL) from error
        wanted: dict[str, Any] = {"subfolder": subfolder, "revision": self.revision}
        try:
            return Path(hf_hub_download(self.name, name, local_files_only=True, **wanted))
        except LocalEntryNotFoundError:
            pass
        except ValueError as error:  # no name that the hub accepts
            raise unavailable(f"{self.name!r}: {error}", "mend the name") from error
        token = os.environ.get(TOKEN) or None
        if token is None and self.name.startswith(GATED):
            raise self._refused(f"the environment variable {TOKEN} is not set")
        try:
            return Path(hf_hub_download(self.name, name, token=token, **wanted))
        except Exception as error:  # of huggingface_hub and of the HTTP library below it
            raise self._failure(error, token) from error

    def _refused(self, why: str) -> EngineUnavailable:
        return unavailable(
            f"no access to {self.name}: {why}",
            f"accept its conditions at https://hf.co/{self.name}, make a token with read access at "
            f"https://hf.co/settings/tokens and set {TOKEN} to it (where the workers run, too); or "
            "set diarize.pyannote.pipeline to a local copy",
        )

    def _failure(self, error: Exception, token: str | None) -> EngineUnavailable:
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

        if isinstance(error, GatedRepoError):
            return self._refused(
                f"its conditions are not accepted by the account that {TOKEN} belongs to"
                if token
                else f"it is gated and the environment variable {TOKEN} is not set"
            )
        if isinstance(error, RepositoryNotFoundError):
            return self._refused(f"it does not exist, or {TOKEN} is wrong or missing")
        reason = str(error).strip().splitlines() or [type(error).__name__]
        return unavailable(
            f"cannot download {self.name}: {reason[0]}",
            "mend the network, or set diarize.pyannote.pipeline to a local copy",
        )


def _is_hub_name(text: str) -> bool:
    return text.count("/") == 1 and not text.startswith(("/", ".")) and not text.endswith("/")


def _read_config(path: Path, home: Path | _Hub) -> PipelineFiles:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        name = content["pipeline"]["name"]
        options = dict(content["pipeline"].get("params") or {})
        parameters = {**(content.get("freeze") or {}), **(content.get("params") or {})}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        raise unavailable(
            f"{path} is no config of a pipeline: {error!r}",
            "set diarize.pyannote.pipeline to one that pyannote.audio wrote",
        ) from error
    unknown = sorted(set(options) - {*OPTIONS, *UNUSED, "segmentation", "embedding", "plda"})
    clustering = options.get("clustering", CLUSTERINGS[0])
    if name not in PIPELINES or unknown or content.get("preprocessors"):
        raise unavailable(
            f"{path} asks for {name}{''.join(f', {key}' for key in unknown)}"
            f"{', preprocessors' if content.get('preprocessors') else ''}",
            f"use a pipeline of {PIPELINES[0]} with the parameters of pyannote.audio 4 only",
        )
    if clustering not in CLUSTERINGS:
        raise unavailable(
            f"{path} asks for {clustering}",
            f"use one of {', '.join(CLUSTERINGS)}, which need not be told the number of speakers",
        )
    vbx = clustering == CLUSTERINGS[0]
    return PipelineFiles(
        _model_of(options.get("segmentation"), home, path, "segmentation"),
        _model_of(options.get("embedding"), home, path, "embedding"),
        _plda_of(options.get("plda"), home, path) if vbx else None,
        {"clustering": clustering, **{key: options[key] for key in OPTIONS if key in options}},
        parameters,
    )


def _place(reference: Any, home: Path | _Hub, config: Path, key: str) -> tuple[Path | _Hub, str]:
    """Return (folder or repository, subfolder) of what a config refers to.

    References are "$model/<subfolder>" (of the config's own place), a path, a hub name, or a
    mapping of checkpoint, subfolder and revision.
    """
    if isinstance(reference, Mapping) and isinstance(reference.get("checkpoint"), str):
        place, _ = _place(reference["checkpoint"], home, config, key)
        if isinstance(place, _Hub):
            place = _Hub(place.name, reference.get("revision"))
        return place, str(reference.get("subfolder") or "")
    if isinstance(reference, str) and reference.startswith("$model/"):
        return home, reference.removeprefix("$model/").partition("@")[0]
    if isinstance(reference, str) and Path(reference).exists():
        return Path(reference), ""
    if isinstance(reference, str) and _is_hub_name(reference):
        return _Hub(reference), ""
    raise unavailable(
        f"{config} has no usable {key}: {reference!r}",
        "give $model/<subfolder>, a path that exists, or the name of a hub repository",
    )


def _model_of(reference: Any, home: Path | _Hub, config: Path, key: str) -> Path:
    place, subfolder = _place(reference, home, config, key)
    if isinstance(place, _Hub):
        return place.file(MODEL_FILE, subfolder or None)
    return local_model(place / subfolder if subfolder else place, f"{key} in {config}")


def _plda_of(reference: Any, home: Path | _Hub, config: Path) -> tuple[Path, Path]:
    place, subfolder = _place(reference, home, config, "plda")
    if isinstance(place, _Hub):
        first, second = (place.file(name, subfolder or None) for name in PLDA_FILES)
        return first, second
    return local_plda(place / subfolder if subfolder else place, f"plda in {config}")


def load_model(path: Path) -> Any:
    """Return the pyannote.audio model of a Lightning checkpoint, on the CPU, for inference.

    Raises EngineUnavailable for a file that is none, or that holds more than data and the
    package's own specifications.
    """
    import torch
    from pyannote.audio.core.model import Introspection
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from torch.torch_version import TorchVersion

    safe: list[Any] = [Introspection, Problem, Resolution, Specifications, TorchVersion]
    try:
        with torch.serialization.safe_globals(safe):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        return _built(checkpoint)
    except Exception as error:  # a foreign file may fail in any way
        raise unavailable(
            f"the checkpoint {path} cannot be loaded as data (nothing in it is ever executed): "
            f"{error}",
            "use a model that pyannote.audio 3 or 4 saved",
        ) from error


def _built(checkpoint: dict[str, Any]) -> Any:
    """Do what Model.from_pretrained does once it has unpickled."""
    import inspect
    from importlib import import_module

    from pyannote.audio import Model
    from pyannote.audio.utils.dependencies import check_dependencies

    about = checkpoint["pyannote.audio"]
    check_dependencies({"pyannote.audio": about["versions"]["pyannote.audio"]}, "Model")
    module, name = about["architecture"]["module"], about["architecture"]["class"]
    if not str(module).startswith("pyannote.audio.models."):
        raise ValueError(f"it asks for {module}.{name}, which is no model of the package")
    model_class = getattr(import_module(module), name)
    if not (isinstance(model_class, type) and issubclass(model_class, Model)):
        raise ValueError(f"it asks for {module}.{name}, which is no model of the package")
    known = inspect.signature(model_class).parameters
    model = model_class(
        **{k: v for k, v in checkpoint.get("hyper_parameters", {}).items() if k in known}
    )
    model.on_load_checkpoint(checkpoint)
    # What was learnt beside the model, for training only, has no place to go.
    model.load_state_dict(
        {k: v for k, v in checkpoint["state_dict"].items() if not k.startswith("loss_func")}
    )
    return model.eval()
