"""Mel frames to audio, piece by piece.

Both streams have `push(mel, final=False)`: log-mel (frames, bands) in, audio (samples,) out.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Vocoder = Callable[[Tensor], Tensor]  # log-mel (1, frames, bands) -> audio (1, samples)


class ContextStream:
    """Decode every frame with true frames on both sides of it, and emit each sample once.

    An output sample of the published vocoder depends on 40 frames before it and 39 after, hardly
    on those beyond 16 (fixtures: detokenizer, section 8), so `context` frames give the samples of
    one offline decode. Emission lags the frames by `context`, from the first piece to the last.
    """

    def __init__(self, vocoder: Vocoder, samples_per_frame: int, context: int, window: int) -> None:
        """`window` frames are emitted at once, at most, which bounds memory."""
        self.vocoder = vocoder
        self.samples_per_frame = samples_per_frame
        self.context = context
        self.window = window
        self.mel: Tensor | None = None  # frames not emitted, behind those kept as context
        self.emitted = 0  # of the frames in `mel`

    def push(self, mel: Tensor, final: bool = False) -> Tensor:
        """Return the audio of all frames that have their context; `final`: of all frames."""
        self.mel = mel if self.mel is None else torch.cat((self.mel, mel))
        missing = 0 if final else self.context
        pieces = [mel.new_zeros(0)]
        while (ready := len(self.mel) - missing - self.emitted) > 0:
            pieces.append(self._decode(min(ready, self.window)))
        return torch.cat(pieces)

    def _decode(self, frames: int) -> Tensor:
        """Return the audio of the next `frames`; forget frames that the following do not need."""
        assert self.mel is not None
        end = self.emitted + frames
        audio = self.vocoder(self.mel[None, : end + self.context])[0]
        audio = audio[self.emitted * self.samples_per_frame : end * self.samples_per_frame]
        first = max(0, end - self.context)
        self.mel, self.emitted = self.mel[first:], end - first
        return audio


class CrossFadeStream:
    """The published smoothing (fixtures: detokenizer, section 10), for comparison.

    Each piece is decoded without the frames that follow it, and faded over the last one with a
    Hamming window whose halves add to 1.08; the last piece is not faded at all.
    """

    def __init__(self, vocoder: Vocoder, samples_per_frame: int) -> None:
        self.vocoder = vocoder
        self.samples_per_frame = samples_per_frame
        self.mel: Tensor | None = None
        self.audio: Tensor | None = None  # decoded, not emitted

    def push(self, mel: Tensor, final: bool = False) -> Tensor:
        """Return as much audio as the published code does: half of what is new, or twice."""
        joined = mel if self.mel is None else torch.cat((self.mel, mel))
        audio = self.vocoder(joined[None])[0]
        if final:
            return audio
        if self.audio is None:
            length = len(audio) // 2
            self.mel = mel[len(mel) // 2 :]
        else:
            length = 2 * len(self.audio)
            length = length if len(audio) > length else len(audio) // 2
            self._fade_in(audio, length)
            frames = (len(audio) - length) // self.samples_per_frame
            self.mel = mel[max(0, len(mel) - frames) :]
        self.audio = audio[length:]
        return audio[:length]

    def _fade_in(self, audio: Tensor, length: int) -> None:
        assert self.audio is not None
        half = length // 2
        window = torch.hamming_window(length, periodic=True).to(audio)
        audio[:half] = self.audio[:half] * window[-half:] + audio[:half] * window[:half]
