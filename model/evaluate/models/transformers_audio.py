"""Any audio model of the package `transformers`, by its processor and its `generate`."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import torch

from wavemill.model.blocks import prepare_transformers
from wavemill.model.evaluate.models.answering import Answer, ModelError, ModelInput
from wavemill.model.evaluate.models.spec import TRANSFORMERS_FILES
from wavemill.model.evaluate.recipes.recipe import Decoding, Recipe, RecipeError
from wavemill.model.evaluate.sound import SAMPLE_RATE
from wavemill.model.io.folders import CONFIG_FILE, WeightsError, resolve

# Tried in order if no class is named; the package registers model types with them.
AUTO_CLASSES = (
    "AutoModelForSpeechSeq2Seq",
    "AutoModelForMultimodalLM",
    "AutoModelForTextToWaveform",
    "AutoModelForCausalLM",
)


class TransformersModel:
    """A model folder or hub id. Code that comes with a model is never run.

    The processor's chat template wraps the prompt, unless the recipe says `as_is`. A model whose
    processor takes no text (Whisper) gets only the audio.
    """

    def __init__(
        self,
        source: str,
        recipe: Recipe,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        class_name: str | None = None,
        seed: int = 0,
    ) -> None:
        """Raises ModelError."""
        self._recipe, self._device, self._source, self._seed = recipe, device, source, seed
        try:
            self._folder = resolve(source, files=TRANSFORMERS_FILES)
        except WeightsError as error:
            raise ModelError(str(error)) from None
        prepare_transformers()
        import transformers

        try:
            auto: Any = transformers.AutoProcessor
            self._processor: Any = auto.from_pretrained(self._folder, trust_remote_code=False)
            config = transformers.AutoConfig.from_pretrained(self._folder, trust_remote_code=False)
            if _names_hub_code(json.loads((self._folder / CONFIG_FILE).read_bytes())):
                raise ValueError("trust_remote_code")
            kind = self._class(transformers, config, class_name)
            network = kind.from_pretrained(
                self._folder, dtype=dtype or "auto", trust_remote_code=False
            )
        except ModelError:
            raise
        except Exception as error:  # a folder's files can make the package raise anything
            raise ModelError(f"{source}: {_reason(error)}") from None
        self._network: Any = network.to(device).eval()
        self._dtype = next(network.parameters()).dtype
        tokenizer = getattr(self._processor, "tokenizer", None)
        if tokenizer is None:
            raise ModelError(f"{source}: its processor has no tokenizer, so it writes no text")
        tokenizer.padding_side = "left"  # what is generated follows the prompt at once
        self._hears_only = _hears_only(network)
        self._options = _generation(recipe.decoding)

    def _class(self, transformers: Any, config: Any, class_name: str | None) -> Any:
        if class_name is not None:
            if not hasattr(transformers, class_name):
                raise ModelError(f"transformers has no class {class_name!r}")
            return getattr(transformers, class_name)
        for name in config.architectures or ():
            kind = getattr(transformers, name, None)  # the class that wrote the folder
            if isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel):
                return kind
        for name in AUTO_CLASSES:
            auto = getattr(transformers, name, None)
            if auto is not None and type(config) in auto._model_mapping:
                return auto
        raise ModelError(
            f"{self._source}: transformers knows no class that writes text for model type "
            f"{config.model_type!r}; name one by --class"
        )

    @torch.inference_mode()
    def answer(self, asked: Sequence[ModelInput]) -> list[Answer]:
        begun = time.perf_counter()
        torch.manual_seed(self._seed)
        inputs = self._inputs(asked)
        ids = self._network.generate(**inputs, **self._options)
        if not self._hears_only:  # what comes back repeats the prompt
            ids = ids[:, inputs["input_ids"].shape[1] :]
        seconds = (time.perf_counter() - begun) / len(asked)
        texts = self._processor.batch_decode(ids, skip_special_tokens=True)
        ends = self._ends()
        return [
            Answer(
                text.strip(),
                complete=not ends or bool(ends & set(row.tolist())),
                seconds=seconds,
            )
            for text, row in zip(texts, ids, strict=True)
        ]

    def _ends(self) -> set[int]:
        end = self._network.generation_config.eos_token_id
        return set() if end is None else {end} if isinstance(end, int) else set(end)

    def _inputs(self, asked: Sequence[ModelInput]) -> dict[str, Any]:
        sounds = [one.audio for one in asked if one.audio is not None]
        if self._hears_only:
            if len(sounds) != len(asked):
                raise RecipeError("this model only hears: an item without a recording is none")
            made = self._processor(sounds, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        else:
            texts = [self._prompt(one) for one in asked]
            made = self._processor(
                text=texts,
                audio=sounds or None,
                **({"sampling_rate": SAMPLE_RATE} if sounds else {}),
                return_tensors="pt",
                padding=True,
            )
        return {
            name: value.to(self._device, self._dtype)
            if torch.is_floating_point(value)
            else value.to(self._device)
            for name, value in made.items()
        }

    def _prompt(self, one: ModelInput) -> str:
        if self._recipe.as_is:
            return one.prompt
        if not getattr(self._processor, "chat_template", None):
            raise ModelError(
                f"{self._source} has no chat template: use a recipe with `as_is: true` whose "
                "prompts hold the model's own mark for a recording"
            )
        words = [{"type": "text", "text": one.prompt}] if one.prompt else []
        # Only that there is a recording matters here: the processor gets the samples itself.
        sound: list[dict[str, Any]] = []
        if one.audio is not None:
            sound = [{"type": "audio", "audio": "", "audio_url": ""}]
        content = [*words, *sound] if self._recipe.text_first else [*sound, *words]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if one.system:
            messages.insert(0, {"role": "system", "content": one.system})
        text = self._processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False
        )
        return str(text)


def _names_hub_code(config: Any) -> bool:
    """Return whether a configuration asks for kernels of a hub, which are compiled code."""
    if isinstance(config, dict):
        return any(
            (key.endswith("_implementation") and "/" in str(value)) or _names_hub_code(value)
            for key, value in config.items()
        )
    return isinstance(config, list) and any(map(_names_hub_code, config))


def _reason(error: Exception) -> str:
    """Return in one line why a model cannot be loaded."""
    reason = " ".join(str(error).split())
    if "trust_remote_code" in reason:  # to set it is what the package advises
        return (
            "it wants code that comes with it or from a hub, which is never run; remedy: a model "
            "of a type that the installed transformers knows"
        )
    return (
        reason if isinstance(error, (OSError, ValueError)) else f"{type(error).__name__}: {reason}"
    )


def _hears_only(network: Any) -> bool:
    """Return whether the model takes only audio, as encoder-decoders such as Whisper do."""
    return bool(network.config.is_encoder_decoder) and network.main_input_name != "input_ids"


def _generation(decoding: Decoding) -> dict[str, Any]:
    """Return a recipe's decoding as arguments of `generate`; missing ones are the model's own."""
    options: dict[str, Any] = {}
    if decoding.max_new_tokens is not None:
        options["max_new_tokens"] = decoding.max_new_tokens
    if decoding.temperature is not None:
        options["do_sample"] = decoding.temperature > 0
        if decoding.temperature > 0:
            options |= {
                "temperature": decoding.temperature,
                **({} if decoding.top_k is None else {"top_k": decoding.top_k}),
                **({} if decoding.top_p is None else {"top_p": decoding.top_p}),
            }
    if decoding.repetition_penalty != 1.0:
        options["repetition_penalty"] = decoding.repetition_penalty
    return options
