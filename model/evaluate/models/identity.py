"""Which model answered: what a run records, without loading anything."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

from wavemill.model.evaluate.models.answering import ModelError
from wavemill.model.evaluate.models.spec import TRANSFORMERS_FILES, ModelSpec
from wavemill.model.io.folders import HUB_FILES, WeightsError, name_of, resolve

HASHED = (".safetensors", ".json", ".model", ".pt", ".bin", ".yaml", ".txt", ".jinja")
UNNAMED = "an endpoint needs --served NAME: the model as the server knows it"
PACKAGES = ("wavemill", "torch", "transformers", "numpy", "ray")


def identity_of(spec: ModelSpec) -> dict[str, str]:
    """Return kind, name and what else tells this model from others. Raises ModelError.

    Of a folder or hub id the SHA-256 of its files; of an endpoint only what it is called.
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
    """Return the versions of the packages that results depend on, where they are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
