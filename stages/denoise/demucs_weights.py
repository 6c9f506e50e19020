"""Finding and safely loading the checkpoints of Demucs models.

The package unpickles its checkpoints, which can execute anything. Here the file is read with
torch's restricted unpickler, which knows tensors, plain values and the few names listed in
`_safe_names`, and the class that it asks for must be one of the package's models.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from wavemill.stages.declared import Declared, LocalFiles, WebFile
from wavemill.stages.engine import EngineUnavailable, package_identity
from wavemill.stages.weights import check_download, sha256_of_file

DISTRIBUTION = "demucs"
EXTRA = "paper"
INSTALL = f"pip install 'wavemill[{EXTRA}]'"
ROOT_URL = "https://dl.fbaipublicfiles.com/demucs/"  # demucs.pretrained.ROOT_URL


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One file, local or at `url`; `checksum` are the first digits of its sha256, if known."""

    name: str
    path: Path | None
    url: str | None
    checksum: str


@dataclass(frozen=True, slots=True)
class Bag:
    """A model: the weighted mean of one or more networks, in the package's sense of a bag."""

    checkpoints: tuple[Checkpoint, ...]
    weights: list[list[float]] | None  # per network, one per source
    segment: float | None  # seconds

    def identity(self) -> str:
        """Return the names of the package's own files (they carry hashes), or the content hash.

        Local files are read whole. Raises EngineUnavailable when one cannot be read.
        """
        mixture = f"{self.weights} {self.segment}"
        parts = [mixture] if self.weights is not None or self.segment is not None else []
        for checkpoint in self.checkpoints:
            if checkpoint.path is None:
                parts.append(checkpoint.name)
            else:
                parts.append(f"sha256:{_sha256(checkpoint.path)}")
        return " ".join(parts)


class _BagFile(BaseModel):
    models: list[str]
    weights: list[list[float]] | None = None
    segment: float | None = None


def find_bag(model: str, repo: Path | None) -> Bag:
    """Return the bag or single network `model` of the folder `repo`, or of those of the package.

    A repository is a folder of `<signature>.th` or `<signature>-<checksum>.th` and of bags,
    `<name>.yaml`. Raises EngineUnavailable saying what is missing.
    """
    if repo is None:
        folder = _package_folder() / "remote"
        known = _listed(folder / "files.txt")
        where = f"package {DISTRIBUTION!r}"
    else:
        folder, where = repo, f"model repository {repo}"
        if not folder.is_dir():
            raise EngineUnavailable(
                f"engine 'demucs': {where} is no folder; remedy: set denoise.demucs.repo to a "
                "folder with <signature>.th files, or leave it out for the package's own models"
            )
        known = _local(folder)
    bag_path = folder / f"{model}.yaml"
    if model in known:
        return Bag((known[model],), None, None)
    if not bag_path.is_file():
        names = sorted({p.stem for p in folder.glob("*.yaml")} | set(known))
        raise EngineUnavailable(
            f"engine 'demucs': {where} has no model {model!r}; remedy: set denoise.demucs.model "
            f"to one of: {', '.join(names) or '(the folder holds none)'}"
        )
    return _bag(bag_path, known)


def declared(bag: Bag) -> list[Declared]:
    """Return the files of a bag's checkpoints."""
    return [
        LocalFiles(one.path, "repo") if one.path is not None else _web_file(one)
        for one in bag.checkpoints
    ]


def load_networks(bag: Bag) -> list[Any]:
    """Return the networks of a bag, on the CPU, in evaluation mode.

    Downloads what is not there yet into torch's hub folder. Raises EngineUnavailable for a file
    that cannot be had, that its checksum does not fit, or that holds more than data.
    """
    return [_load(_file_of(checkpoint)) for checkpoint in bag.checkpoints]


def check_bag(bag: Bag) -> None:
    """Look whether what is not here could be downloaded. Raises EngineUnavailable."""
    for checkpoint in bag.checkpoints:
        if checkpoint.url is not None and not _cached(checkpoint).is_file():
            try:
                check_download(checkpoint.url)
            except OSError as error:
                raise _not_downloaded(checkpoint, error) from error


def _package_folder() -> Path:
    package_identity(DISTRIBUTION)
    spec = find_spec("demucs")  # does not import it
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / "remote" / "files.txt").is_file():
            return Path(folder)
    raise EngineUnavailable(
        f"engine 'demucs': package {DISTRIBUTION!r} lists no models (remote/files.txt); "
        f"remedy: {INSTALL}"
    )


def _listed(files: Path) -> dict[str, Checkpoint]:
    """Read the package's list: lines `root: folder/` and `<signature>-<checksum>.th`."""
    found: dict[str, Checkpoint] = {}
    root = ""
    for line in files.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text.startswith("root:"):
            root = text.removeprefix("root:").strip()
        elif text and not text.startswith("#"):
            signature, checksum = _parts(text)
            found[signature] = Checkpoint(text, None, f"{ROOT_URL}{root}{text}", checksum)
    return found


def _local(folder: Path) -> dict[str, Checkpoint]:
    found: dict[str, Checkpoint] = {}
    for path in sorted(folder.glob("*.th")):
        signature, checksum = _parts(path.name)
        if signature in found:
            raise EngineUnavailable(
                f"engine 'demucs': {folder} holds two checkpoints of {signature!r}; remedy: "
                "delete all but one"
            )
        found[signature] = Checkpoint(path.name, path, None, checksum)
    return found


def _parts(name: str) -> tuple[str, str]:
    """Split `<signature>[-<checksum>].th`."""
    stem = name.removesuffix(".th")
    signature, _, checksum = stem.rpartition("-")
    return (signature, checksum) if signature else (stem, "")


def _bag(path: Path, known: dict[str, Checkpoint]) -> Bag:
    try:
        content = _BagFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        checkpoints = tuple(known[signature] for signature in content.models)
    except KeyError as error:
        raise EngineUnavailable(
            f"engine 'demucs': {path} names the checkpoint {error}, which is not there; remedy: "
            f"put {error.args[0]}.th beside it"
        ) from error
    except (OSError, ValueError, yaml.YAMLError, ValidationError) as error:
        raise EngineUnavailable(
            f"engine 'demucs': {path} is no bag of models: {error}; remedy: mend or replace it"
        ) from error
    return Bag(checkpoints, content.weights, content.segment)


def _file_of(checkpoint: Checkpoint) -> Path:
    """Return the checkpoint's file, checked against its checksum."""
    path = checkpoint.path or _downloaded(checkpoint)
    found = _sha256(path)
    if not found.startswith(checkpoint.checksum):
        raise EngineUnavailable(
            f"engine 'demucs': {path} is damaged: its sha256 begins {found[:8]}, its name says "
            f"{checkpoint.checksum}; remedy: delete it and fetch it again"
        )
    return path


def _downloaded(checkpoint: Checkpoint) -> Path:
    path = _cached(checkpoint)
    if not path.is_file():
        try:
            _web_file(checkpoint).fetch(None)
        except EngineUnavailable as error:
            why = str(error).partition("; remedy")[0]
            raise EngineUnavailable(f"engine 'demucs': {why}; {_remedy(checkpoint)}") from error
    return path


def _web_file(checkpoint: Checkpoint) -> WebFile:
    return WebFile(str(checkpoint.url), _cached(checkpoint), checkpoint.checksum, licence="MIT")


def _cached(checkpoint: Checkpoint) -> Path:
    """Return the file's place in torch's hub folder, without importing torch."""
    cache = os.getenv("XDG_CACHE_HOME") or "~/.cache"
    home = Path(os.getenv("TORCH_HOME") or f"{cache}/torch").expanduser()
    return home / "hub" / "checkpoints" / checkpoint.name


def _not_downloaded(checkpoint: Checkpoint, error: Exception) -> EngineUnavailable:
    return EngineUnavailable(
        f"engine 'demucs': cannot download the weights {checkpoint.url}: {error}; "
        f"{_remedy(checkpoint)}"
    )


def _remedy(checkpoint: Checkpoint) -> str:
    return (
        f"remedy: put that file into {_cached(checkpoint).parent}, or set denoise.demucs.repo to "
        "a folder that holds it"
    )


def _safe_names(models: tuple[type, ...]) -> list[Any]:
    """Return what the restricted unpickler may build: the released files use all of these."""
    from fractions import Fraction

    import numpy as np
    from numpy._core.multiarray import scalar

    number_types = [type(np.dtype(kind)) for kind in ("float64", "float32", "int64", "bool")]
    old_name = (scalar, "numpy.core.multiarray.scalar")  # written by numpy 1
    return [*models, Fraction, np.dtype, *number_types, scalar, old_name]


def _load(path: Path) -> Any:
    import torch
    from demucs.demucs import Demucs
    from demucs.hdemucs import HDemucs
    from demucs.htdemucs import HTDemucs
    from demucs.states import load_model

    models = (HTDemucs, HDemucs, Demucs)
    try:
        with torch.serialization.safe_globals(_safe_names(models)):
            package = torch.load(path, map_location="cpu", weights_only=True)
        if package["klass"] not in models:
            raise ValueError(f"it asks for {package['klass']!r}, which is no model of the package")
        if package["state"].get("__quantized"):
            raise ValueError("it is quantized (diffq), which this engine does not read")
        build: Any = load_model  # the package is not typed
        return build(package).eval()
    except Exception as error:  # a foreign file may fail in any way
        raise EngineUnavailable(
            f"engine 'demucs': the checkpoint {path} cannot be loaded as data (nothing in it is "
            f"ever executed): {error}; remedy: use a checkpoint of the package demucs "
            "(klass, args, kwargs, state), e.g. one of htdemucs"
        ) from error


def _sha256(path: Path) -> str:
    try:
        return sha256_of_file(path)
    except OSError as error:
        raise EngineUnavailable(f"engine 'demucs': cannot read {path}: {error}") from error
