"""The semantic tokenizer that a corpus was made with, as a folder for training and export."""

from __future__ import annotations

from pathlib import Path

from wavemill.pipeline.config import ConfigError

FOLDER = "tokenizer"  # of a run


def tokenizer_folder(run: Path, told: str, init: Path | None, given: Path | None) -> Path | None:
    """Return a folder with the tokenizer that a corpus calls `told` ("kmeans sha256:...").

    It is what is `given`, else that in `init`, else the codebook that ships with the package; a
    codebook is written to a folder in `run` first. None where a model has to name its tokenizer
    itself. Raises ConfigError when another tokenizer is given, and WeightsError.
    """
    from wavemill.model.assistant import SEMANTIC_FOLDER
    from wavemill.model.tokenizer import kmeans
    from wavemill.model.tokenizer.kmeans import KMeansTokenizer

    if not told.startswith("kmeans "):
        own = init / SEMANTIC_FOLDER if init is not None else None
        return given or (own if own is not None and own.is_dir() else None)
    places = [given] if given is not None else [init / kmeans.FOLDER] if init is not None else []
    for place in places:
        if place.is_dir():
            identity = KMeansTokenizer.from_pretrained(place).identity
            return _checked(place, identity, told) if given is not None else place
    return _from_codebook(run, told, given)


def _from_codebook(run: Path, told: str, given: Path | None) -> Path:
    from wavemill.model.tokenizer.kmeans import KMeansTokenizer
    from wavemill.stages.tokenize.codebook import SHIPPED, codebook_identity, load_codebook

    path = given or SHIPPED
    identity = f"kmeans {codebook_identity(path)}"
    if given is None and identity != told:
        raise ConfigError(
            f"the corpus was tokenized with {told}, not with the codebook that ships with the "
            "package; remedy: --semantic CODEBOOK.npz, the one of tokenize.kmeans.codebook"
        )
    _checked(path, identity, told)
    folder = run / FOLDER
    KMeansTokenizer(load_codebook(path), identity).save_pretrained(folder)
    return folder


def _checked(path: Path, identity: str, told: str) -> Path:
    if identity != told:
        raise ConfigError(f"--semantic: {path} is {identity}, the corpus was made with {told}")
    return path
