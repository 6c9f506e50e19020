"""Which model to ask: how it is loaded, in a form that travels to workers, and what it is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from wavemill.model.evaluate.models.answering import Model, ModelError
from wavemill.model.evaluate.recipes.recipe import Recipe
from wavemill.model.io.folders import HUB_FILES, WeightsError, is_hub_id, name_of, resolve

Kind = Literal["assistant", "transformers", "endpoint"]
Precision = Literal["stored", "float32", "bfloat16", "float16"]
TRANSFORMERS_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")  # of a hub


@dataclass(frozen=True)
class ModelSpec:
    """A model and how it is run."""

    kind: Kind
    source: str  # folder, hub id, or URL
    device: str = "cpu"
    dtype: Precision = "stored"
    semantic: str | None = None  # assistant: folder or hub id of its semantic tokenizer
    detokenizer: str | None = None  # assistant: folder or hub id, in place of its own
    speaks: bool = False  # only this project's model does
    voice: str | None = None  # path of a recording to sound like
    seed: int = 0
    class_name: str | None = None  # transformers: the model's class; None: as its config says
    served: str = ""  # endpoint: the name that the server knows the model by
    concurrency: int = 8  # endpoint: requests at a time
    timeout_s: float = 120.0  # endpoint: of one request

    @property
    def batch(self) -> int:
        """Return how many items it is asked at once."""
        return 4 * self.concurrency if self.kind == "endpoint" else 8


def kind_of(source: str) -> Kind:
    """Return the kind of a source. Raises ModelError if it has none or, for a hub id, two."""
    if source.startswith(("http://", "https://")):
        return "endpoint"
    if Path(source).is_dir():
        from wavemill.model.assistant import ACOUSTIC_FOLDER

        return "assistant" if (Path(source) / ACOUSTIC_FOLDER).is_dir() else "transformers"
    if is_hub_id(source):
        raise ModelError(
            f"{source} is a hub id: say what it is by --kind assistant or --kind transformers"
        )
    raise ModelError(f"there is no folder {source}, and it is neither a URL nor a hub id")


def load_model(spec: ModelSpec, recipe: Recipe) -> Model:
    """Load a model. Raises ModelError and RecipeError."""
    if spec.speaks and spec.kind != "assistant":
        raise ModelError(f"--speaks is for this project's model, and {spec.source} is none")
    if spec.kind == "endpoint":
        from wavemill.model.evaluate.models.endpoint import EndpointModel

        return EndpointModel(
            spec.source, spec.served, recipe, spec.seed, spec.concurrency, spec.timeout_s
        )
    import torch

    dtype = None if spec.dtype == "stored" else getattr(torch, spec.dtype)
    if spec.kind == "assistant":
        from wavemill.model.evaluate.models.assistant import AssistantModel

        voice = None if spec.voice is None else Path(spec.voice)
        return AssistantModel(
            spec.source,
            recipe,
            device=spec.device,
            dtype=dtype,
            semantic=spec.semantic,
            speaks=spec.speaks,
            voice=voice,
            detokenizer=spec.detokenizer,
            seed=spec.seed,
        )
    from wavemill.model.evaluate.models.transformers_audio import TransformersModel

    return TransformersModel(spec.source, recipe, spec.device, dtype, spec.class_name, spec.seed)


HASHED = (".safetensors", ".json", ".model", ".pt", ".bin", ".yaml", ".txt", ".jinja")
UNNAMED = "an endpoint needs --served NAME: the model as the server knows it"
PACKAGES = ("wavemill", "torch", "transformers", "numpy", "ray")


def identity_of(spec: ModelSpec) -> dict[str, str]:
    """Return what a run records of a model: kind, name, hashes. Loads nothing.

    A folder or hub id has the SHA-256 of its files, an endpoint only a name. Raises ModelError.
    """
    if spec.kind == "endpoint":
        if not spec.served:
            raise ModelError(UNNAMED)
        return {"kind": spec.kind, "name": spec.served, "url": spec.source}
    files = HUB_FILES if spec.kind == "assistant" else TRANSFORMERS_FILES
    try:
        folder = resolve(spec.source, files=files)
    except WeightsError as error:
        raise ModelError(str(error)) from None
    name = spec.source if folder != Path(spec.source) else name_of(folder)
    found = {"kind": spec.kind, "name": name, "sha256": folder_hash(folder)}
    if spec.semantic is not None:
        found["semantic_sha256"] = folder_hash(resolve(spec.semantic))
    if spec.detokenizer is not None:
        found["detokenizer_sha256"] = folder_hash(resolve(spec.detokenizer))
    if spec.class_name is not None:
        found["class"] = spec.class_name
    if spec.speaks:
        found["reply"] = "both"
    if spec.voice is not None:
        found["voice_sha256"] = hashlib.sha256(_content(Path(spec.voice))).hexdigest()
    return found


def folder_hash(folder: Path) -> str:
    """Return the SHA-256 (hex) over names and contents of a model folder's files."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in HASHED):
        name = path.relative_to(folder)
        if any(part.startswith(".") for part in name.parts):
            continue
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{name.as_posix()}\n{content}\n".encode())
    return total.hexdigest()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"--voice: {path}: {error.strerror or error}") from None


def versions() -> dict[str, str]:
    """Return the versions of the installed packages that results depend on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
