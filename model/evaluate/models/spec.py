"""Which model to ask, in a form that travels to workers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wavemill.model.evaluate.models.answering import Model, ModelError
from wavemill.model.evaluate.recipes.recipe import Recipe
from wavemill.model.io.folders import is_hub_id

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
    speaks: bool = False  # only this project's model does
    voice: str | None = None  # path of a recording to sound like
    seed: int = 0
    class_name: str | None = None  # transformers: the model's class; None: as its config says
    served: str = ""  # endpoint: the name that the server knows the model by
    concurrency: int = 8  # endpoint: requests at a time
    timeout_s: float = 120.0  # endpoint: of one request

    @property
    def batch(self) -> int:
        """How many items it likes to be asked at once."""
        return 4 * self.concurrency if self.kind == "endpoint" else 8


def kind_of(source: str) -> Kind:
    """Tell what a source is. Raises ModelError for none, and for a hub id that may be either."""
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
            seed=spec.seed,
        )
    from wavemill.model.evaluate.models.transformers_audio import TransformersModel

    return TransformersModel(spec.source, recipe, spec.device, dtype, spec.class_name, spec.seed)
