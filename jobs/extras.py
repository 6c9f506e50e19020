"""Packages that some commands need and a plain install lacks."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

TRAIN_PACKAGES = ("tensorboard", "pandas")  # the second is what ray[train] brings
MODEL_PACKAGES = ("huggingface_hub", "tiktoken", "transformers")


def need_model_packages() -> None:
    """Raise ConfigError, with the remedy, if a package is not installed."""
    need_packages(MODEL_PACKAGES, "model")


def need_training_packages() -> None:
    """Raise ConfigError, with the remedy, if a package is not installed."""
    need_packages((*MODEL_PACKAGES, *TRAIN_PACKAGES), "train")


def need_packages(packages: Iterable[str], extra: str) -> None:
    """Raise ConfigError for the first package that is not installed; `extra` installs it."""
    from wavemill.pipeline.config import ConfigError

    for package in packages:
        if find_spec(package) is None:
            raise ConfigError(
                f"package {package!r} is not installed; remedy: pip install 'wavemill[{extra}]'"
            )
