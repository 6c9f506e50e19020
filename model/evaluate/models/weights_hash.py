"""Which weights a run was made with."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

FILES = (".safetensors", ".json", ".model", ".pt", ".bin", ".yaml", ".txt")
NAMED = ("wavemill", "torch", "transformers", "numpy", "ray")


def folder_hash(folder: Path) -> str:
    """Return the SHA-256 (hex) over names and contents of a model folder's files."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in FILES):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\n{content}\n".encode())
    return total.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of the packages that results depend on, where they are installed."""
    found = {}
    for name in NAMED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
