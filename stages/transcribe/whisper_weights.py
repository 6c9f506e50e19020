"""Weights of `openai-whisper`: which files there are, where they lie, and reading them safely."""

from __future__ import annotations

import ast
import importlib.util
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavemill.stages.declared import Declared, LocalFiles, WebFile
from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.weights import check_download, sha256_of_file

if TYPE_CHECKING:
    from whisper.model import Whisper

DISTRIBUTION = "openai-whisper"
REMEDY_NAMED = (
    "remedy: put the file there, or name its path as transcribe.whisper.model, or run once where "
    "the network can be reached"
)


@dataclass(frozen=True)
class Catalogue:
    """The models that the package knows by name."""

    urls: dict[str, str]  # the folder that holds the file is named by the file's sha256
    alignment_heads: dict[str, bytes]  # cross-attention heads that follow the words in time

    def sha256(self, name: str) -> str:
        return self.urls[name].split("/")[-2]

    def heads_of(self, sha256: str) -> bytes | None:
        """Return the alignment heads of the file with this content; None for a foreign model."""
        names = (name for name in self.urls if self.sha256(name) == sha256)
        return next((self.alignment_heads[name] for name in names), None)


def catalogue() -> Catalogue:
    """Read the package's tables from its source: importing it would import torch (seconds).

    Raises EngineUnavailable when the package is not installed.
    """
    spec = importlib.util.find_spec("whisper")
    if spec is None or spec.origin is None:
        raise EngineUnavailable(
            f"engine whisper: package {DISTRIBUTION!r} is not installed; "
            f"remedy: pip install {DISTRIBUTION}"
        )
    tables: dict[str, Any] = {}
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in ("_MODELS", "_ALIGNMENT_HEADS"):
                tables[name] = ast.literal_eval(node.value)
    return Catalogue(tables["_MODELS"], tables["_ALIGNMENT_HEADS"])


def declared(model: str, download_root: str | None) -> tuple[Declared, ...]:
    """Return the file of a model. Raises EngineUnavailable when the package is not installed."""
    known = catalogue()
    if model not in known.urls:
        return (LocalFiles(Path(model), "model"),)
    path = _cached(known, model, download_root)
    return (WebFile(known.urls[model], path, known.sha256(model), "model", "MIT"),)


def sha256_of(model: str) -> str:
    """Return the content hash of a named model (from its address) or of a checkpoint file.

    Raises EngineUnavailable when `model` is neither.
    """
    known = catalogue()
    if model in known.urls:
        return known.sha256(model)
    path = Path(model)
    if not path.is_file():
        raise EngineUnavailable(
            f"engine whisper (package {DISTRIBUTION}): model {model!r} is neither a file nor one "
            f"of {', '.join(known.urls)}; remedy: set transcribe.whisper.model to one of these"
        )
    return sha256_of_file(path)


def check_model(model: str, download_root: str | None) -> None:
    """Look whether a named model is there or could be downloaded. Raises EngineUnavailable."""
    known = catalogue()
    if model in known.urls and not (path := _cached(known, model, download_root)).is_file():
        try:
            check_download(known.urls[model])
        except OSError as error:
            raise _not_downloaded(known, model, path, error) from error


def load_model(model: str, download_root: str | None, device: str) -> Whisper:
    """Load a named model or a checkpoint file {"dims", "model_state_dict"} onto `device`.

    A named model is downloaded when it is not in `download_root` (None: the package's own cache).
    Only tensors and plain values are unpickled. Raises EngineUnavailable.
    """
    sha256 = sha256_of(model)
    known = catalogue()
    try:
        from whisper.model import Whisper
    except ImportError as error:
        raise EngineUnavailable(
            f"engine whisper: package {DISTRIBUTION!r} cannot be imported ({error}); "
            f"remedy: pip install {DISTRIBUTION}"
        ) from error
    named = model in known.urls
    path = _fetched(known, model, download_root) if named else Path(model)
    dims, state = _read_checkpoint(path)
    try:
        loaded = Whisper(dims)
        loaded.load_state_dict(state)
    except (RuntimeError, TypeError, ValueError) as error:
        raise _not_a_checkpoint(path, str(error).splitlines()[0]) from error
    heads = known.heads_of(sha256)  # also for the file of a named model, given by its path
    if heads is not None:
        loaded.set_alignment_heads(heads)
    return loaded.eval().to(device)


def halve(model: Whisper) -> None:
    """Hold in float16 what the package casts to float16 in every call, in place.

    The same results at a third of the memory traffic; norms and positions stay in float32.
    """
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv1d | torch.nn.Embedding):
            module.half()


def _read_checkpoint(path: Path) -> tuple[Any, dict[str, Any]]:
    import torch
    from whisper.model import ModelDimensions

    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds on a file that is none of its own
        raise _not_a_checkpoint(path, str(error).splitlines()[0]) from error
    try:
        return ModelDimensions(**checkpoint["dims"]), checkpoint["model_state_dict"]
    except (KeyError, TypeError, IndexError) as error:
        raise _not_a_checkpoint(path, f"{type(error).__name__}: {error}") from error


def _not_a_checkpoint(path: Path, why: str) -> EngineUnavailable:
    return EngineUnavailable(
        f"engine whisper (package {DISTRIBUTION}): {path} is no Whisper checkpoint ({why}); "
        'remedy: give a file that holds {"dims", "model_state_dict"} as the package saves them'
    )


def _fetched(known: Catalogue, name: str, download_root: str | None) -> Path:
    """Return the file of a named model, downloaded if need be, its content checked."""
    path = _cached(known, name, download_root)
    if path.is_file() and sha256_of_file(path) == known.sha256(name):
        return path
    import whisper

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Apart, then moved: several workers may do this at once.
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            downloaded = whisper._download(known.urls[name], folder, False)
            Path(str(downloaded)).replace(path)
    except (OSError, RuntimeError) as error:
        raise _not_downloaded(known, name, path, error) from error
    return path


def _cached(known: Catalogue, name: str, download_root: str | None) -> Path:
    """Return where a named model's file belongs."""
    root = Path(download_root) if download_root else _default_root()
    return root / known.urls[name].rsplit("/", 1)[-1]


def _not_downloaded(known: Catalogue, name: str, path: Path, error: Exception) -> EngineUnavailable:
    return EngineUnavailable(
        f"engine whisper (package {DISTRIBUTION}): the weights of {name!r} are not at {path} "
        f"and cannot be downloaded from {known.urls[name]} ({error}); {REMEDY_NAMED}"
    )


def _default_root() -> Path:
    """Return the package's own cache."""
    cache = os.getenv("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "whisper"
