"""Both networks together: loading, saving, voices, streams, whole utterances."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from wavemill.model.audio import vocoder_log_mel
from wavemill.model.detokenizer.bigvgan import BigVgan
from wavemill.model.detokenizer.config import DetokenizerConfig, StreamSettings
from wavemill.model.detokenizer.flow import FlowNetwork
from wavemill.model.detokenizer.history import History
from wavemill.model.detokenizer.layout import (
    FLOW_FOLDER,
    VOCODER_FOLDER,
    Container,
    read_config,
    stored_flow,
    stored_vocoder,
    write_config,
    write_weights,
)
from wavemill.model.detokenizer.solver import ChunkSolver, Noise, seeded_noise
from wavemill.model.detokenizer.streams import (
    ContextStream,
    MelStream,
    checked_tokens,
    read_voice,
)
from wavemill.model.io.folders import resolve
from wavemill.model.io.tensors import assign


class DetokenizerStream:
    """One utterance. A new one knows nothing of any other, whatever became of that."""

    def __init__(self, mels: MelStream, audio: ContextStream) -> None:
        self.mels = mels
        self.audio = audio
        self.closed = False

    @torch.inference_mode()
    def push(self, tokens: Sequence[int] | Tensor, final: bool = False) -> Tensor:
        """Return the audio that `tokens` complete: float32 (samples,), maybe none.

        Tokens are those of the tokenizer, without the LLM's vocabulary offset. `final` gives the
        rest and closes the stream. Raises ValueError for a wrong token or a closed stream.
        """
        if self.closed:
            raise ValueError("the stream is closed; each utterance needs a new one")
        audio = self.audio.push(self.mels.push(tokens, final), final)
        self.closed = final
        return audio.float()


class Detokenizer:
    """Semantic tokens (12.5 a second) to audio (`config.vocoder.sampling_rate`)."""

    def __init__(
        self, flow: FlowNetwork, vocoder: BigVgan, settings: StreamSettings | None = None
    ) -> None:
        self.config = DetokenizerConfig(flow=flow.config, vocoder=vocoder.config)
        self.flow = flow.eval()
        self.vocoder = vocoder.eval()
        self.settings = settings or StreamSettings()

    @classmethod
    def from_config(cls, config: DetokenizerConfig, settings: StreamSettings | None = None) -> Self:
        """Return a detokenizer of fresh weights, on torch's current device."""
        return cls(FlowNetwork(config.flow), BigVgan(config.vocoder), settings)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        settings: StreamSettings | None = None,
    ) -> Self:
        """Read `audio_detokenizer/` and `vocoder/` of a model folder or hub id, to `device`.

        Raises WeightsError naming the file, field or tensors that are missing or do not fit.
        """
        folder = resolve(source)
        config = read_config(folder)
        with torch.device("meta"):
            detokenizer = cls.from_config(config, settings)
        assign(detokenizer.flow, stored_flow(folder), folder / FLOW_FOLDER, device, dtype)
        vocoder = stored_vocoder(folder)
        assign(detokenizer.vocoder, vocoder, folder / VOCODER_FOLDER, device, dtype)
        return detokenizer

    def save_pretrained(self, folder: Path, container: Container = "safetensors") -> None:
        """Write the same layout; "pt" for the published loader, which reads nothing else."""
        write_config(self.config, folder)
        write_weights(self.flow, self.vocoder, folder, container)

    def voice(self, tokens: Sequence[int] | Tensor, audio: Tensor) -> History:
        """Return a voice for any number of streams: tokens of a speaker, and what they said.

        `audio` float32 (samples,) at the vocoder's rate. Raises ValueError for a wrong token, or
        where audio and tokens differ by more than a token.
        """
        mel = vocoder_log_mel(audio, self.config.vocoder)
        repeats = self.settings.frames_per_token
        frame_tokens = checked_tokens(tokens, self.flow.config).repeat_interleave(repeats)
        if abs(len(mel) - len(frame_tokens)) > repeats:
            raise ValueError(f"audio of {len(mel)} frames, but tokens of {len(frame_tokens)}")
        return self._voice(mel, frame_tokens)

    def stream(
        self, noise: torch.Generator | Noise, voice: History | None = None
    ) -> DetokenizerStream:
        """Return a stream for one utterance.

        `noise` is a generator on the CPU (the same seed gives the same audio) or a function that
        gives float32 (frames, bands).
        """
        solver = self._solver()
        if isinstance(noise, torch.Generator):
            noise = seeded_noise(noise, self.flow.config.input_size)
        history = History.empty(self.flow) if voice is None else voice
        samples = self.config.vocoder.samples_per_frame
        return DetokenizerStream(
            MelStream(solver, self.settings, noise, history),
            ContextStream(
                self.vocoder, samples, self.settings.vocoder_context, self.settings.vocoder_window
            ),
        )

    def decode(
        self,
        tokens: Sequence[int] | Tensor,
        noise: torch.Generator | Noise,
        voice: History | None = None,
    ) -> Tensor:
        """Return the audio of a whole utterance: float32 (samples,), 1920 samples a token.

        It is what a stream gives in pieces, to float32's rounding of the vocoder.
        """
        return self.stream(noise, voice).push(tokens, final=True)

    def mel(
        self,
        tokens: Sequence[int] | Tensor,
        noise: torch.Generator,
        voice: History | None = None,
    ) -> Tensor:
        """Return the log-mel of a whole utterance, float32 (frames, bands), four frames a token.

        What `decode` makes audible; other ways to do so can be compared with it.
        """
        draw = seeded_noise(noise, self.flow.config.input_size)
        history = History.empty(self.flow) if voice is None else voice
        return MelStream(self._solver(), self.settings, draw, history).push(tokens, final=True)

    def _voice(self, mel: Tensor, tokens: Tensor) -> History:
        return read_voice(self._solver(), self.settings, mel, tokens)

    def _solver(self) -> ChunkSolver:
        return ChunkSolver(self.flow, self.settings)
