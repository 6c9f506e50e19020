"""Recipes of the tokenizer's and the detokenizer's trainings; YAML files are in `../recipes`."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from wavemill.manifests.filesystems import anchored
from wavemill.model.data.clips import ClipSettings
from wavemill.model.detokenizer.config import PRESETS
from wavemill.model.io.folders import is_hub_id
from wavemill.model.tokenizer.config import PRESETS as TOKENIZER_PRESETS
from wavemill.model.tokenizer.config import VqConfig, presets
from wavemill.model.train.recipe import LoopSettings, Settings, TrainingRecipe, without_unused
from wavemill.model.train.speech.flow import FlowSettings
from wavemill.model.train.speech.tokenizer import TokenizerSettings
from wavemill.model.train.speech.vocoder import VocoderSettings

Stage = Literal["flow", "chunks", "speaker", "vocoder"]
STAGES: tuple[Stage, ...] = ("flow", "chunks", "speaker", "vocoder")


class SpeechRecipe(TrainingRecipe):
    """How much audio a network trains on, which clips, and in which steps."""

    hours: float | None = Field(None, gt=0)  # of audio to learn; null: `epochs` of the corpus
    epochs: float = Field(1.0, gt=0)
    clips: ClipSettings = ClipSettings()
    held_out_split: str = "validation"  # evaluated, never learnt

    def identity(self) -> dict[str, Any]:
        found = super().identity()
        clips = without_unused(self.clips, found["clips"], "prompt_share", "prompt_s")
        return found | {"clips": clips}


def _without_recompute(loop: LoopSettings) -> LoopSettings:
    """Raise ValueError for a field that the training of this network would not read."""
    if loop.recompute:
        raise ValueError("loop.recompute: this network keeps its activations; remedy: leave it out")
    return _not_compiled(loop)


def _not_compiled(loop: LoopSettings) -> LoopSettings:
    if loop.compile:
        raise ValueError("loop.compile: this network is not compiled; remedy: leave it out")
    if loop.weights != "float32":
        raise ValueError("loop.weights: this network's are float32; remedy: leave it out")
    return loop


def _without_prompts(clips: ClipSettings) -> ClipSettings:
    """Raise ValueError for prompts before clips, which the flow network alone knows."""
    if clips.prompt_share:
        raise ValueError(
            "clips.prompt_share: prompts are for the flow network; remedy: leave it out"
        )
    return clips


class FlowRecipe(SpeechRecipe):
    flow: FlowSettings = FlowSettings()

    _not_compiled = field_validator("loop")(_not_compiled)


class VocoderRecipe(SpeechRecipe):
    vocoder: VocoderSettings = VocoderSettings()

    _no_prompts = field_validator("clips")(_without_prompts)
    _no_recompute = field_validator("loop")(_without_recompute)


class TokenizerRecipe(SpeechRecipe):
    """Report section 2.2. `whisper`: folder or hub id to start from; null: random weights."""

    preset: str = "tiny"
    whisper: str | None = None
    tokenizer: TokenizerSettings = TokenizerSettings()

    _no_prompts = field_validator("clips")(_without_prompts)
    _no_recompute = field_validator("loop")(_without_recompute)

    @field_validator("whisper")
    @classmethod
    def _from_any_folder(cls, source: str | None) -> str | None:
        """Make a path absolute, since workers have other folders; a hub id stays."""
        return None if source is None or is_hub_id(source) else anchored(source)

    @model_validator(mode="after")
    def _is_trainable(self) -> Self:
        if self.preset not in TOKENIZER_PRESETS:
            raise ValueError(f"no preset {self.preset!r}; there are {', '.join(TOKENIZER_PRESETS)}")
        if self.clips.crop_tokens is not None:
            raise ValueError("clips.crop_tokens: parts of clips have no words to be learnt")
        return self

    @property
    def encoder(self) -> VqConfig:
        return presets(self.preset)[0]


class DetokenizerRecipe(Settings):
    """Report section 4.3; `preset` is the network that is built without --init."""

    preset: str = "tiny"
    flow: FlowRecipe = FlowRecipe()  # whole utterances
    chunks: FlowRecipe = FlowRecipe(flow=FlowSettings(chunked=True))
    speaker: FlowRecipe = FlowRecipe(flow=FlowSettings(chunked=True))  # the one voice wanted
    vocoder: VocoderRecipe = VocoderRecipe()

    @model_validator(mode="after")
    def _stages_have_their_chunks(self) -> Self:
        if self.preset not in PRESETS:
            raise ValueError(f"no preset {self.preset!r}; there are {', '.join(PRESETS)}")
        if self.flow.flow.chunked or not self.chunks.flow.chunked:
            raise ValueError("stage flow learns whole utterances, stage chunks learns chunks")
        return self

    def of_stage(self, stage: Stage) -> FlowRecipe | VocoderRecipe:
        """Return the recipe of one stage."""
        found: FlowRecipe | VocoderRecipe = getattr(self, stage)
        return found
