"""What a command needs beyond a plain install."""

from __future__ import annotations

from importlib.util import find_spec

from pipeline.config import ConfigError

MODEL_PACKAGES = ("huggingface_hub", "tiktoken", "transformers")


def need_model_packages() -> None:
    """Raise ConfigError, with the remedy, for the first that is not installed."""
    for package in MODEL_PACKAGES:
        if find_spec(package) is None:
            raise ConfigError(
                f"package {package!r} is not installed; remedy: pip install 'wavemill[model]'"
            )
